/**
 * llama.cpp, as the npm package node-llama-cpp brings it, in a process of Node that answers one line by
 * one line.
 *
 * @module
 */

import { TextLineStream } from "@std/streams/text-line-stream";
import { join, resolve } from "node:path";

/** What is asked: the file, and the ids to evaluate and go on from, or texts to encode. */
export interface LlamaCppRequest {
  path: string;
  ids?: readonly number[];
  /** Tokens to generate, greedily. */
  count?: number;
  texts?: readonly string[];
}

/** What is answered. */
export interface LlamaCppAnswer {
  /** Logits of every position: `[ids, vocabulary]`. */
  logits: number[];
  tokens: number[];
  /** The ids of each text, with what stands before and behind texts. */
  texts: number[][];
}

/** Run by Node, as the package's binary is one for Node. */
const PROGRAM = `
import { createInterface } from "node:readline";
import { getLlama } from "node-llama-cpp";
const llama = await getLlama({
  gpu: false,
  build: "never",
  logLevel: "error",
  maxThreads: 1, // those that wait spin, which others pay for
});
for await (const line of createInterface({ input: process.stdin })) {
  const { path, ids = [], count = 0, texts = [] } = JSON.parse(line);
  const model = await llama.loadModel({ modelPath: path });
  const answer = { logits: [], tokens: [], texts: [] };
  for (const text of texts) {
    const { bos, eos, shouldPrependBosToken, shouldAppendEosToken } = model.tokens;
    answer.texts.push([
      ...(shouldPrependBosToken ? [bos] : []),
      ...model.tokenize(text, true),
      ...(shouldAppendEosToken ? [eos] : []),
    ]);
  }
  if (ids.length > 0) {
    const context = await model.createContext({
      contextSize: ids.length + count + 8,
      flashAttention: false,
      experimentalKvCacheKeyType: "F32",
      experimentalKvCacheValueType: "F32",
    });
    const sequence = context.getSequence();
    const next = { generateNext: { logits: true, options: { temperature: 0 } } };
    const steps = await sequence.controlledEvaluate(ids.map((id) => [id, next]));
    for (const { next } of steps) {
      const row = [];
      for (const [id, value] of next.logits) row[id] = value;
      answer.logits.push(...row);
    }
    await sequence.clearHistory();
    const options = { temperature: 0, yieldEogToken: true };
    if (count > 0) {
      for await (const id of sequence.evaluate(ids, options)) {
        if (answer.tokens.push(id) === count) break;
      }
    }
    await context.dispose();
  }
  await model.dispose();
  console.log("=" + JSON.stringify(answer));
}
process.exit(0);
`;

/** A running llama.cpp. */
export class LlamaCpp implements AsyncDisposable {
  readonly #program: string;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;

  private constructor(program: string, process: Deno.ChildProcess) {
    this.#program = program;
    this.#process = process;
    this.#input = process.stdin.getWriter();
    this.#lines = process.stdout
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream())
      .getReader();
  }

  /** Starts it from the folder in which the package is installed. */
  static async start(folder: string): Promise<LlamaCpp> {
    // In that folder, where Node finds the package.
    const program = join(resolve(folder), `gguf_peer_${crypto.randomUUID()}.mjs`);
    await Deno.writeTextFile(program, PROGRAM);
    const process = new Deno.Command("node", {
      args: [program],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    return new LlamaCpp(program, process);
  }

  async run(request: LlamaCppRequest): Promise<LlamaCppAnswer> {
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(request)}\n`));
    while (true) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("llama.cpp ended: what it said is above");
      if (value.startsWith("=")) return JSON.parse(value.slice(1));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#process.status;
    await Deno.remove(this.#program);
  }
}
