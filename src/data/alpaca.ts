/**
 * The prompt format of Stanford Alpaca, for rows with `instruction` and `output`.
 *
 * @module
 */

/**
 * The prompt of Stanford Alpaca for an instruction. The answer follows it
 * directly.
 *
 * Source: the prompt texts published with the data set,
 * https://github.com/tatsu-lab/stanford_alpaca#data-release
 *
 * @param input Context of the instruction; without it the shorter prompt is used.
 */
export function alpacaPrompt(instruction: string, input = ""): string {
  if (input === "") {
    return "Below is an instruction that describes a task. " +
      "Write a response that appropriately completes the request.\n\n" +
      `### Instruction:\n${instruction}\n\n### Response:`;
  }
  return "Below is an instruction that describes a task, " +
    "paired with an input that provides further context. " +
    "Write a response that appropriately completes the request.\n\n" +
    `### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:`;
}
