/**
 * This package's GEMMs compared with those of other libraries on WebGPU in Deno: jax-js and
 * TensorFlow.js.
 *
 * ```sh
 * deno run -A --no-lock bench/peers.ts --provider native --shape 8192x4096x4096
 * ```
 *
 * Prints one line of JSON per library and type ({@linkcode PeerResult}). Each computes x ← x·b many
 * times and waits once, so the 11 ms steps in which Deno's native WebGPU waits hardly count; this
 * package is also timed by GPU timestamps. The others use `navigator.gpu`, which with `--provider
 * dawn` is Dawn's. Errors are those of the first product, relative, in f64, on sampled values.
 *
 * `--no-lock`, and specifiers that static analysis does not see, keep the other libraries out of
 * this package's lock file.
 *
 * @module
 */

import { choice, group, list, renamed, text } from "../src/cli/flags.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import { OptionError } from "../src/errors.ts";
import { loadDawn } from "../src/gpu/dawn.ts";
import { requestDevice } from "../src/gpu/device.ts";
import { chooseVariant } from "../src/kernels/gemm/variants.ts";
import { normalValues, randomKey } from "../tests/oracle/random.ts";
import { GemmRun } from "./gemm_bench.ts";
import { measure, teraflops, totalMs } from "./support/measure.ts";
import { readFlags, runScript } from "./support/script.ts";

const JAX = "npm:@jax-js/jax@0.1.25";
const TENSORFLOW = "npm:@tensorflow/tfjs-core@4.22.0";
const TENSORFLOW_WEBGPU = "npm:@tensorflow/tfjs-backend-webgpu@4.22.0";

/** Milliseconds that a timed chain of products takes at least. */
const LEAST_MS = 500;

const FLAGS = group("Peers", {
  provider: renamed(
    choice(["native", "dawn"], "Which WebGPU runs all of them", "native"),
    "gpu",
  ),
  shape: text(
    "MxNxK",
    "Sizes of the product, N = K: it is repeated on its result",
    "8192x4096x4096",
  ),
  only: list("NAMES", "Which of ours,jax,tfjs", "all"),
});

/** The result of one library and type. */
export interface PeerResult {
  name: string;
  /** Type of the operands. */
  type: string;
  gpu: string;
  m: number;
  n: number;
  k: number;
  /** Per product, by the host's clock. */
  ms: number;
  teraflops: number;
  /** For this package: the same by GPU timestamps. */
  gpuTeraflops?: number;
  error: number;
}

/** The product that is measured: x [m, k] · b [k, n], with n = k. */
interface Problem {
  m: number;
  k: number;
  x: Float32Array<ArrayBuffer>;
  b: Float32Array<ArrayBuffer>;
}

/** One library, computing the chain of products. */
interface Contender {
  /** Starts again from x. */
  start(): void;
  /** Submits x ← x·b. */
  multiply(): void;
  /** Waits for the submitted work. */
  wait(): Promise<void>;
  /** The current x, [m, k]. */
  read(): Promise<ArrayLike<number>>;
}

/** Times all libraries. */
export async function run(args: readonly string[], terminal: Terminal): Promise<PeerResult[]> {
  const { provider: gpu = "native", shape = "8192x4096x4096", only } = readFlags(args, FLAGS);
  const [m, n, k] = shape.split("x").map(Number);
  if (!(m > 0 && n === k && k > 0)) {
    throw new OptionError(`Cannot multiply --shape ${shape}: give three sizes, the last two equal`);
  }
  if (gpu === "dawn") {
    Object.defineProperty(navigator, "gpu", { value: await loadDawn(), configurable: true });
  }
  const results: PeerResult[] = [];
  const add = (result: Omit<PeerResult, "gpu" | "m" | "n" | "k">) => {
    results.push({ ...result, gpu, m, n, k });
    terminal.stdout(`${JSON.stringify(results.at(-1))}\n`);
  };
  const wanted = (name: string) => only === undefined || only.includes(name);
  if (wanted("ours")) await measureOurs(gpu, { m, n, k }, add);
  const problem: Problem = {
    m,
    k,
    x: normalValues(randomKey(0, "x"), { mean: 0, deviation: 1 }, 0, m * k),
    b: normalValues(randomKey(0, "b"), { mean: 0, deviation: 1 / Math.sqrt(k) }, 0, k * k),
  };
  const flops = 2 * m * n * k;
  const peers: [name: string, type: string, open: () => Promise<Contender>][] = [
    ["jax", "f32", () => openJax(problem, "float32")],
    ["jax", "f16", () => openJax(problem, "float16")],
    ["tfjs", "f32", () => openTensorFlow(problem)],
  ];
  for (const [name, type, open] of peers) {
    if (!wanted(name)) continue;
    try {
      const contender = await open();
      contender.start();
      contender.multiply();
      const error = relativeError(problem, await contender.read());
      const ms = await timeChain(contender);
      add({ name, type, ms, teraflops: teraflops(flops, ms), error });
    } catch (error) {
      terminal.stderr(`${name} ${type} failed: ${(error as Error).message}\n`);
    }
  }
  for (const { name, type, ms } of results) {
    const ratios = results.filter((ours) => ours.name === "ours" && name !== "ours")
      .map((ours) => `${(ms / ours.ms).toFixed(1)} × ${ours.type}`);
    terminal.stderr(`${name} ${type}: ${ms.toFixed(3)} ms  ${ratios.join(", ")}\n`);
  }
  return results;
}

/** This package's GEMMs with FP8, f16 and f32 operands. */
async function measureOurs(
  provider: "native" | "dawn",
  { m, n, k }: { m: number; n: number; k: number },
  add: (result: Omit<PeerResult, "gpu" | "m" | "n" | "k">) => void,
): Promise<void> {
  using device = await requestDevice({ provider });
  const flops = 2 * m * n * k;
  for (const type of ["e4m3", "f16", "f32"] as const) {
    const variant = chooseVariant(device, { m, n, k, aType: type, bType: type });
    using run = new GemmRun(device, { layout: "nt", m, n, k, types: [type, type], variant });
    await run.program.prepare();
    run.program.run();
    const error = await run.error();
    const gpuMs = device.hasTimestamps ? totalMs(await measure(run.program)) : null;
    const ms = await timeChain({
      start: () => {},
      multiply: () => run.program.run(),
      wait: () => device.finish(),
    });
    add({
      name: "ours",
      type,
      ms,
      teraflops: teraflops(flops, ms),
      ...(gpuMs !== null && { gpuTeraflops: teraflops(flops, gpuMs) }),
      error,
    });
  }
}

/**
 * Milliseconds per product in a chain of at least {@linkcode LEAST_MS}, after a warm-up of half its
 * length.
 */
async function timeChain(contender: Pick<Contender, "start" | "multiply" | "wait">) {
  for (let count = 1;; count *= 2) {
    contender.start();
    await contender.wait();
    const start = performance.now();
    for (let i = 0; i < count; i++) contender.multiply();
    await contender.wait();
    const ms = performance.now() - start;
    if (ms >= LEAST_MS) return ms / count;
  }
}

/** ‖got − x·b‖ / ‖x·b‖ on some values of some rows. */
function relativeError({ m, k, x, b }: Problem, got: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (const row of [0, m >> 1, m - 1]) {
    for (let column = 0; column < k; column += Math.ceil(k / 50)) {
      let exact = 0;
      for (let i = 0; i < k; i++) exact += x[row * k + i] * b[i * k + column];
      difference += (got[row * k + column] - exact) ** 2;
      norm += exact ** 2;
    }
  }
  return Math.sqrt(difference / norm);
}

/**
 * jax-js is lazy: waiting for the last product runs the whole chain; `ref` keeps an array alive
 * after its use.
 */
async function openJax({ m, k, x, b }: Problem, dtype: "float32" | "float16"): Promise<Contender> {
  const jax = await import(JAX);
  await jax.init("webgpu");
  jax.defaultDevice("webgpu");
  const upload = (values: Float32Array, shape: number[]) =>
    jax.numpy.array(values).reshape(shape).astype(jax.numpy[dtype]);
  const first = upload(x, [m, k]);
  const factor = upload(b, [k, k]);
  await jax.blockUntilReady([first, factor]);
  let current = first.ref;
  return {
    start() {
      current.dispose();
      current = first.ref;
    },
    multiply() {
      current = jax.numpy.matmul(current, factor.ref);
    },
    wait: () => jax.blockUntilReady(current),
    read: () => current.ref.data(),
  };
}

/** TensorFlow.js: eager, and flushed by a read-back, here of one value. */
async function openTensorFlow({ m, k, x, b }: Problem): Promise<Contender> {
  const tf = await import(TENSORFLOW);
  await import(TENSORFLOW_WEBGPU);
  await tf.setBackend("webgpu");
  await tf.ready();
  const first = tf.tensor2d(x, [m, k]);
  const factor = tf.tensor2d(b, [k, k]);
  let current = first.clone();
  return {
    start() {
      current.dispose();
      current = first.clone();
    },
    multiply() {
      const next = tf.matMul(current, factor);
      current.dispose();
      current = next;
    },
    async wait() {
      const value = tf.slice(current, [0, 0], [1, 1]);
      await value.data();
      value.dispose();
    },
    read: () => current.data(),
  };
}

if (import.meta.main) await runScript(run);
