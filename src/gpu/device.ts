/**
 * The GPU as this package uses it: one device, every buffer it owns, its compiled kernels. The
 * interface for users, public_device.ts, shows less of it.
 *
 * @module
 */

import type { DeviceError } from "../errors.ts";
import { GarbageCount } from "../garbage.ts";
import {
  type BufferView,
  ELEMENT_BYTES,
  type ElementType,
  type Matrix,
  matrixBytes,
  pitched,
  pitchOf,
  roundUp,
  unpitched,
  type Vector,
} from "./buffers.ts";
import { expectBindable, type GrowsWith, type SizedBuffer } from "./too_large.ts";
import { upload } from "./upload.ts";
import { throttledWait } from "./throttled_polling.ts";
import { BufferOwner } from "./buffer_owner.ts";
import { DeviceHealth } from "./health.ts";
import { Kernel } from "./kernel.ts";
import { KernelCache } from "./kernel_cache.ts";
import type { KernelName } from "./kernels.generated.ts";
import { type DeviceOptions, nameOf, openGpu, type Provider } from "./open.ts";
import { readBack } from "./read_back.ts";
import { type SubgroupMatrixConfig, subgroupMatrixConfigs } from "./subgroup_matrix.ts";
import { subgroupConstants } from "./subgroups.ts";
import type { KernelConstants } from "./template.ts";
import { defaultTuning, type Tuning } from "./tuning.ts";

export type { DeviceOptions, Provider };

/**
 * Command encoders that may wait to be collected. Each leaves its passes and its command buffer as well: about
 * 2 KB natively on a CPU's driver, more on others.
 */
export const MOST_ENCODERS = 2048;

/** Opens the machine's GPU: `requestDevice` of public_device.ts, with all that kernels need. */
export async function requestDevice(options: DeviceOptions = {}): Promise<Device> {
  const { gpu, info, provider, hasPackedDot, subgroupDirective } = await openGpu(options);
  return new Device(gpu, info, provider, hasPackedDot, subgroupDirective);
}

/**
 * A GPU device with the buffers and kernels made on it. Buffers are freed by {@linkcode
 * Device.free} or all at once by {@linkcode Device.destroy}: the garbage collector comes too late
 * for gigabytes.
 */
export class Device extends BufferOwner implements Disposable, AsyncDisposable {
  /** The adapter's description of itself. */
  readonly info: GPUAdapterInfo;
  /** The WebGPU implementation behind it. */
  readonly provider: Provider;
  /** True for a GPU emulated on the CPU, where code size matters more than arithmetic. */
  readonly isFallback: boolean;
  /** True if kernels may use `f16`. */
  readonly hasF16: boolean;
  /** True if GPU timestamps can be taken. */
  readonly hasTimestamps: boolean;
  /** True if kernels may use subgroup operations. */
  readonly hasSubgroups: boolean;
  /** True if kernels may multiply four signed bytes at a time. */
  readonly hasPackedDot: boolean;
  /** True if kernels that use subgroups say so by WGSL's directive. */
  readonly subgroupDirective: boolean;
  /** The subgroup matrices that kernels may multiply on tensor cores; none natively. */
  readonly matrixConfigs: readonly SubgroupMatrixConfig[];
  /** Which variant kernels and layers use where there are several. Tests and benches set it. */
  tuning: Tuning;
  readonly #kernels: KernelCache;
  readonly #health: DeviceHealth;
  readonly #garbage = new GarbageCount(MOST_ENCODERS);
  #givenLimit = Infinity;

  /** Takes ownership of a device: frees it, and handles its errors. */
  constructor(
    gpu: GPUDevice,
    info: GPUAdapterInfo,
    provider: Provider = "native",
    hasPackedDot = false,
    subgroupDirective = provider === "dawn",
  ) {
    super(gpu);
    this.info = info;
    this.provider = provider;
    this.isFallback = info.isFallbackAdapter === true;
    this.hasF16 = gpu.features.has("shader-f16");
    this.hasTimestamps = gpu.features.has("timestamp-query");
    this.hasSubgroups = gpu.features.has("subgroups");
    this.hasPackedDot = hasPackedDot;
    this.subgroupDirective = subgroupDirective;
    this.matrixConfigs = subgroupMatrixConfigs({ features: gpu.features, info });
    this.tuning = defaultTuning(this);
    this.#health = new DeviceHealth(gpu, () => this.allocatedBytes);
    const explain = this.explain.bind(this);
    this.#kernels = new KernelCache((name, code) => new Kernel(gpu, name, code, explain));
  }

  /** The name of the GPU. */
  get name(): string {
    return nameOf(this.info, this.provider);
  }

  /** The device's limits. */
  get limits(): GPUSupportedLimits {
    return this.gpu.limits;
  }

  /**
   * The most bytes that a buffer may have which kernels bind: what may be larger is split. The dry device
   * and tests lower it.
   */
  get bindingLimit(): number {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.limits;
    return Math.min(maxBufferSize, maxStorageBufferBindingSize, this.#givenLimit);
  }

  set bindingLimit(bytes: number) {
    this.#givenLimit = bytes;
  }

  /**
   * Allocates zeroed bytes for kernels to read and write.
   *
   * @param growsWith What makes them many, for the error's remedy.
   * @throws {DeviceError} beyond what one buffer or one binding may hold.
   * @internal
   */
  allocate(bytes: number, label: string, growsWith: GrowsWith = "step"): BufferView {
    const size = Math.max(roundUp(bytes, 16), 16);
    this.expectBindable({ size, label, growsWith });
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    return { buffer: this.createBuffer(size, usage, label), offset: 0, size };
  }

  /** Whether nothing runs here: of work that is repeated, only the memory counts. */
  get onlyCounts(): boolean {
    return false;
  }

  /** Refuses a buffer beyond what one binding may hold. */
  protected expectBindable(buffer: SizedBuffer): void {
    expectBindable(buffer, this.bindingLimit);
  }

  /** Allocates a zeroed matrix. */
  matrix(
    rows: number,
    cols: number,
    type: ElementType,
    label: string,
    growsWith?: GrowsWith,
  ): Matrix {
    const pitch = pitchOf(cols, type);
    const view = this.allocate(matrixBytes(rows, pitch, type), label, growsWith);
    return { ...view, rows, cols, pitch, type };
  }

  /** Allocates a zeroed vector. */
  vector(length: number, type: ElementType, label: string, growsWith?: GrowsWith): Vector {
    return { ...this.allocate(length * ELEMENT_BYTES[type], label, growsWith), length, type };
  }

  /** Writes bytes at `offset` (both multiples of 4) of a view. */
  write(view: BufferView, data: ArrayBufferView<ArrayBuffer>, offset = 0): void {
    if (offset + data.byteLength > view.size) {
      throw new RangeError(
        `Cannot write ${data.byteLength} bytes at ${offset} of "${view.buffer.label}" ` +
          `as it holds ${view.size}`,
      );
    }
    upload(this.gpu.queue, view.buffer, view.offset + offset, data);
  }

  /**
   * Reads a view back. Costs a round trip (about 11 ms on Deno's native WebGPU): not for every
   * step.
   *
   * @throws {DeviceError} if any earlier GPU work failed.
   * @internal
   */
  async read(view: BufferView): Promise<ArrayBuffer> {
    return (await this.readAll([view]))[0];
  }

  /** Reads several views back in one round trip. */
  readAll(views: BufferView[]): Promise<ArrayBuffer[]> {
    return readBack(this, views);
  }

  /** Reads an f32 matrix as packed rows `[rows * cols]`, the pitch removed. */
  async readMatrix(matrix: Matrix): Promise<Float32Array<ArrayBuffer>> {
    const padded = new Float32Array(await this.read(matrix));
    return unpitched(padded, matrix.rows, matrix.cols, matrix.pitch);
  }

  /** Writes packed rows `[rows * cols]` of an f32 matrix. */
  writeMatrix(matrix: Matrix, values: Float32Array<ArrayBuffer>): void {
    this.write(matrix, pitched(values, matrix.rows, matrix.cols, matrix.pitch));
  }

  /**
   * Throws if GPU work failed since the device was opened. WebGPU reports failures late and by
   * events, so this is called wherever results are read.
   */
  check(): void {
    this.#health.check();
  }

  /** The error of work that failed: that of the device, if it is what failed. */
  explain(sentence: string, cause: unknown): Promise<DeviceError> {
    return this.#health.explain(sentence, cause);
  }

  /**
   * Whether kernels are compiled on threads of their own, side by side. Natively, Deno compiles each
   * where it is asked for, also by the asynchronous call.
   */
  get compilesAside(): boolean {
    return this.provider === "dawn";
  }

  /** Waits until all submitted work has run, and throws if any of it failed. */
  async finish(): Promise<void> {
    await this.wait(() => this.gpu.queue.onSubmittedWorkDone());
    this.collectGarbage();
    this.check();
  }

  /**
   * Waits for work of this device.
   *
   * @param begin Asks for it, if the device is still there.
   * @throws {DeviceError} if the device is lost, or anything failed on it before.
   */
  async wait<T>(begin: () => Promise<T>): Promise<T> {
    await this.#health.expectAlive();
    return await this.#health.whileAlive(this.#throttled(begin()));
  }

  #throttled<T>(promise: Promise<T>): Promise<T> {
    return this.provider === "dawn" ? throttledWait(promise) : promise;
  }

  /** A command encoder, which is garbage when its commands are submitted. */
  createCommandEncoder(): GPUCommandEncoder {
    this.#garbage.add();
    return this.gpu.createCommandEncoder();
  }

  /** Has the encoders of earlier work collected, if there are many. */
  collectGarbage(): void {
    this.#garbage.collectIfDue();
  }

  /**
   * The kernel in the file `<name>.wgsl` of `wgsl/` with these constants and those of the device,
   * compiled once.
   */
  kernel(name: KernelName, given: KernelConstants = {}): Kernel {
    return this.#kernels.get(name, { ...subgroupConstants(this.tuning.subgroups, this), ...given });
  }

  /** Every kernel used so far. */
  kernels(): Kernel[] {
    return this.#kernels.all();
  }

  /**
   * Frees every buffer and the device. Where submitted work may still run, prefer `await using`,
   * which waits for it: Deno's WebGPU ends the process if the work of a released device takes more
   * than six seconds.
   */
  destroy(): void {
    this.freeAll();
    this.#health.close();
    this.gpu.destroy();
  }

  /** Same as {@linkcode Device.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** Waits until submitted work has run or failed, then destroys the device. */
  async [Symbol.asyncDispose](): Promise<void> {
    // Failures were reported where results were read; here they must not hide what ended the scope.
    await this.#health.settled(() => this.#throttled(this.gpu.queue.onSubmittedWorkDone()));
    this.destroy();
  }
}
