/**
 * The forward pass for generation: it keeps the keys and values of every layer, so that a token that follows costs one
 * row instead of the whole text again.
 *
 * @module
 */

import { columnsOf, firstOf, type Matrix, rowsOf, type Vector } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { attentionForward } from "../kernels/attention/attention.ts";
import { appendToCache, attentionDecode, type KeyValueCache } from "../kernels/attention/decode.ts";
import { embed } from "../kernels/rows/embedding.ts";
import { gemm } from "../kernels/gemm/gemm.ts";
import { rmsNorm } from "../kernels/rows/rms_norm.ts";
import { rope } from "../kernels/attention/rope.ts";
import { swiglu } from "../kernels/rows/swiglu.ts";
import type { ActivationName, Activations } from "./activations.ts";
import { type Block, inputOf, type LinearInput, type Norm } from "./block.ts";
import { EMBEDDING, LM_HEAD, type Network } from "./network.ts";
import type { TokenBuffers } from "./token_buffers.ts";

/** What a pass reads and writes. Its memory is its own, so that neither training steps nor other texts are disturbed. */
export interface CachedPass {
  /** Where it is recorded. */
  program: Program;
  /** The layers, with room for `linearRows` tokens. */
  network: Network;
  /** Room for at least `rows` tokens; no backward. */
  activations: Activations;
  /** The tokens; their positions are also their rows in the caches. */
  tokens: TokenBuffers;
  /** How many tokens. */
  rows: number;
  /** The most rows that a linear layer takes at a time, a multiple of 4. */
  linearRows: number;
  /** Receives the statistics of norms, f32 [rows], which only a backward pass would read. */
  rstd: Vector;
  /** One a layer. */
  caches: readonly KeyValueCache[];
  /**
   * For a pass of one token that attends to the caches: u32 [1], the keys in them, its own included. Null for the
   * beginning of a text, whose tokens attend to each other.
   */
  cachedLength: Vector | null;
}

/** Records embedding and blocks: the output is activation `input`. */
export function recordBlocks(pass: CachedPass): void {
  const { program, network, tokens: { ids }, caches } = pass;
  const table = network.dense.get(EMBEDDING)!.value();
  embed(program, { ids, table, output: rowsOfPass(pass, "input") });
  network.blocks.forEach((block, layer) => recordBlock(pass, block, caches[layer]));
}

/** Records the logits [rows, vocabSize] after {@linkcode recordBlocks}. */
export function recordLogits(pass: CachedPass, logits: Matrix): void {
  const { program, network } = pass;
  const head = network.dense.get(LM_HEAD) ?? network.dense.get(EMBEDDING)!;
  const final = rowsOfPass(pass, "final");
  recordNorm(pass, network.finalNorm, rowsOfPass(pass, "input"), { input: final });
  gemm(program, { layout: "nt", a: final, b: head.value(), out: logits });
}

/** The forward of `block.ts` with the keys and values kept. */
function recordBlock(pass: CachedPass, block: Block, cache: KeyValueCache): void {
  const { program } = pass;
  inChunks(pass, (chunk) => {
    const qkv = inputOf(block.qkv, pass.activations, "normed", chunk.rows);
    recordNorm(pass, block.attentionNorm, chunk.of("input"), qkv);
    block.qkv.forward(program, { ...qkv, output: chunk.of("qkv") });
  });
  recordAttention(pass, block, cache);
  inChunks(pass, (chunk) => {
    const mid = chunk.of("mid");
    const addend = chunk.of("input");
    block.o.forward(program, { input: chunk.of("attended"), codes: null, output: mid, addend });
    const gateUp = inputOf(block.gateUp, pass.activations, "normed", chunk.rows);
    recordNorm(pass, block.mlpNorm, mid, gateUp);
    block.gateUp.forward(program, { ...gateUp, output: chunk.of("gateUp") });
    const down = inputOf(block.down, pass.activations, "hidden", chunk.rows);
    swiglu(program, { gateUp: chunk.of("gateUp"), output: down.input, quantized: down.codes });
    block.down.forward(program, { ...down, output: chunk.of("input"), addend: mid });
  });
}

function recordAttention(pass: CachedPass, block: Block, cache: KeyValueCache): void {
  const { program, network, tokens: { positions, documents }, cachedLength } = pass;
  const { numHeads, numKeyValueHeads, headDim } = network.config;
  const qkv = rowsOfPass(pass, "qkv");
  const output = rowsOfPass(pass, "attended");
  const [q, k, v] = block.qkv.spec.parts.map(({ start, rows }) => columnsOf(qkv, start, rows));
  const shape = { heads: numHeads, kvHeads: numKeyValueHeads, headDim };
  const frequencies = network.ropeFrequencies;
  rope(program, { ...shape, qkv, keyColumn: k.column, positions, frequencies });
  appendToCache(program, { ...cache, k, v, positions });
  if (cachedLength) {
    attentionDecode(program, { ...shape, ...cache, q, length: cachedLength, output });
  } else {
    const logSumExp = rowsOfPass(pass, "logSumExp");
    attentionForward(program, { ...shape, q, k, v, documents, output, logSumExp });
  }
}

function recordNorm(
  { program, network, rstd }: CachedPass,
  norm: Norm,
  input: Matrix,
  next: Partial<LinearInput>,
) {
  rmsNorm(program, {
    input,
    weight: { ...norm.weight.value(), length: input.cols },
    eps: network.config.rmsNormEps,
    output: next.input ?? null,
    quantized: next.codes,
    rstd: firstOf(rstd, input.rows),
  });
}

/** Some rows of a pass. */
interface Chunk {
  /** How many. */
  rows: number;
  /** Their part of an activation that outlives the chunk. */
  of(name: ActivationName): Matrix;
}

/**
 * Records what is around linear layers, some rows at a time: what their method keeps of a step is shared with training
 * and must not grow, as that would free what a recorded training step uses.
 */
function inChunks(pass: CachedPass, record: (chunk: Chunk) => void): void {
  const { rows, linearRows } = pass;
  for (let first = 0; first < rows; first += linearRows) {
    const count = Math.min(linearRows, rows - first);
    record({ rows: count, of: (name) => rowsOf(rowsOfPass(pass, name), first, count) });
  }
}

function rowsOfPass({ activations, rows }: CachedPass, name: ActivationName): Matrix {
  return activations.get(name, rows);
}
