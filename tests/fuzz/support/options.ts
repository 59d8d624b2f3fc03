/**
 * Options of runs that fuzzing begins with, and pieces that trouble what reads them.
 *
 * @module
 */

/** Options by their names in files. */
export const OPTIONS: readonly Record<string, unknown>[] = [
  {
    model: "./model",
    data: ["a.jsonl", "b.jsonl"],
    dataWeights: [2, 0.5],
    format: "int8",
    rank: 32,
    alpha: 64,
    steps: 300,
    learningRate: 1e-3,
    packing: false,
    saveEvery: "10m",
    columns: { prompt: "question", completion: "answer" },
    targetModules: ["q_proj", "v_proj"],
  },
  {
    "base-model": "./model",
    dataset: "a.jsonl",
    lora_r: 16,
    lora_alpha: 32,
    lr: "2e-4",
    load_in_4bit: true,
    num_epochs: 3,
    micro_batch_size: 4,
    "eval-fraction": 0.1,
    schedule: "cosine",
    warmup_ratio: 0.03,
  },
  { method: "lora", base: "f16", batchSize: 8, sequenceLength: 512, seed: 1, overwrite: true },
];

/** Numbers as people and programs write them, and worse. */
export const NUMBERS: readonly string[] = [
  ...["0", "-0", "1", "-1", "1.5", "0.1", "2e-4", "1e300", "-1e300", "1e999", "5e-324"],
  ...["9007199254740991", "9007199254740993", "2147483648", "4294967296", "NaN", "Infinity"],
  ...["0x10", "0o17", "0b1", "1_000", "1,000", " 1 ", "+1", "", " ", "１", "null", "true", "x"],
];
