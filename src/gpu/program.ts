/**
 * A recorded sequence of kernel dispatches, which can be replayed any number of times.
 *
 * Recording resolves everything that costs host time: pipelines, bind groups, parameters, grids.
 * Replaying only encodes: no allocation, no compilation, no read-back.
 *
 * @module
 */

import { DeviceError } from "../errors.ts";
import {
  type BufferView,
  type ElementType,
  type Matrix,
  matrixBytes,
  pitchOf,
  roundUp,
} from "./buffers.ts";
import type { Device } from "./device.ts";
import type { GrowsWith } from "./too_large.ts";
import type { Kernel } from "./kernel.ts";
import { packParams } from "./layout.ts";
import {
  type Bindings,
  type Dispatch,
  type DispatchCost,
  encodeItems,
  type KernelTime,
  type RecordedItem,
  submitItems,
  submitWhileCompiling,
} from "./recorded_work.ts";
import { profileItems } from "./profile_items.ts";

export type { Bindings, DispatchCost, KernelTime };

/** The alignment that WebGPU requires of uniform and storage offsets. */
const OFFSET_ALIGNMENT = 256;

/** Memory whose size is known only after recording. */
interface Scratch {
  /** The placeholder in views until there is a buffer. */
  stand: GPUBuffer;
  /** Bytes of the largest matrix. */
  size: number;
  /** What makes that large. */
  growsWith: GrowsWith;
  /** The memory, once the program is prepared. */
  view: BufferView | null;
}

/** A recorded list of GPU work. */
export class Program implements Disposable {
  readonly device: Device;
  #items: RecordedItem[] = [];
  #params: Uint8Array<ArrayBuffer> = new Uint8Array(64 * OFFSET_ALIGNMENT);
  #paramsEnd = 0;
  /** Bytes of parameters that were counted without being recorded. */
  #countedBytes = 0;
  #uniforms: GPUBuffer | null = null;
  #phase = "";
  /** By label. */
  #scratch = new Map<string, Scratch>();

  constructor(device: Device) {
    this.device = device;
  }

  /** Names the phase of the step to which the following dispatches belong. */
  phase(name: string): void {
    this.#phase = name;
  }

  /** Number of recorded dispatches. */
  get dispatches(): number {
    return this.#items.filter((item) => item.kind === "dispatch").length;
  }

  /**
   * A matrix that one dispatch of the program writes and a later one reads. Matrices of the same
   * label share memory, as large as the largest of them: each is valid until the next one is
   * written. The memory is allocated when the program is prepared, and freed with it.
   */
  scratch(
    rows: number,
    cols: number,
    label: string,
    type: ElementType = "f32",
    growsWith: GrowsWith = "step",
  ): Matrix {
    const pitch = pitchOf(cols, type);
    const size = Math.max(16, matrixBytes(rows, pitch, type));
    let slot = this.#scratch.get(label);
    if (!slot) {
      const stand = { label } as GPUBuffer;
      this.#scratch.set(label, slot = { stand, size: 0, growsWith, view: null });
    }
    if (size > slot.size) [slot.size, slot.growsWith] = [size, growsWith];
    return { buffer: slot.stand, offset: 0, size, rows, cols, pitch, type };
  }

  /**
   * Records one dispatch. An empty grid records nothing.
   *
   * @param grid workgroups in x, y, z
   * @throws {DeviceError} beyond what the GPU takes in a dimension
   * @param cost the work it does, for {@linkcode Program.profile}: kernels bound by arithmetic give
   * `flops`
   */
  dispatch(
    kernel: Kernel,
    bindings: Bindings,
    params: Readonly<Record<string, number>>,
    grid: [number, number?, number?],
    cost: DispatchCost = {},
  ): void {
    const [x, y = 1, z = 1] = grid;
    if (x * y * z === 0) return;
    const limit = this.device.limits.maxComputeWorkgroupsPerDimension;
    if (Math.max(x, y, z) > limit) {
      throw new DeviceError(
        `Cannot run kernel ${kernel.name} as its grid has ${x}×${y}×${z} workgroups and this GPU takes ` +
          `${limit} in a dimension: reduce batchSize or sequenceLength, or take a smaller model`,
      );
    }
    const paramsOffset = this.#paramsEnd;
    if (kernel.layout.params.length) {
      const size = roundUp(4 * kernel.layout.params.length, 16);
      this.#paramsEnd += roundUp(size, OFFSET_ALIGNMENT);
      while (this.#paramsEnd > this.#params.length) {
        const larger = new Uint8Array(2 * this.#params.length);
        larger.set(this.#params);
        this.#params = larger;
      }
      packParams(kernel.layout.params, params, new DataView(this.#params.buffer), paramsOffset);
    }
    this.#items.push({
      kind: "dispatch",
      kernel,
      bindings,
      paramsOffset,
      group: null,
      grid: [x, y, z],
      phase: this.#phase,
      flops: cost.flops ?? 0,
      bytes: cost.bytes ?? Object.values(bindings).reduce((sum, { size }) => sum + size, 0),
      label: cost.label ?? "",
    });
  }

  /**
   * Records the same work for each of `count` parts. Where only memory counts, parts behind the second
   * are counted like it: they share its scratch memory, and may be millions.
   *
   * @param record Records part `index`, counted from 0.
   */
  repeat(count: number, record: (index: number) => void): void {
    const recorded = this.device.onlyCounts ? Math.min(count, 2) : count;
    let start = this.#paramsEnd;
    for (let index = 0; index < recorded; index++) {
      start = this.#paramsEnd;
      record(index);
    }
    this.#countedBytes += (count - recorded) * (this.#paramsEnd - start);
  }

  /** Records a copy of `from.size` bytes. */
  copy(from: BufferView, to: BufferView): void {
    if (from.size > 0) this.#items.push({ kind: "copy", from, to });
  }

  /** Records setting a view to zero bytes. */
  clear(view: BufferView): void {
    if (view.size > 0) this.#items.push({ kind: "clear", view });
  }

  /** Compiles the kernels, which programs that are recorded later need not wait for. */
  async compile(): Promise<void> {
    const dispatches = this.#items.filter((item) => item.kind === "dispatch");
    await this.device.wait(() => Promise.all(dispatches.map(({ kernel }) => kernel.compile())));
  }

  /**
   * Compiles the kernels and builds the bind groups. After this nothing more may be recorded.
   */
  async prepare(): Promise<this> {
    await this.compile();
    this.#allocate();
    return this;
  }

  /** Makes parameters, scratch memory and bind groups. */
  #allocate(): void {
    if (this.#paramsEnd > 0) {
      this.#uniforms = this.device.createBuffer(
        this.#paramsEnd + this.#countedBytes,
        GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
        "kernel parameters",
      );
      const params = this.#params.subarray(0, this.#paramsEnd);
      this.device.gpu.queue.writeBuffer(this.#uniforms, 0, params);
    }
    for (const [label, slot] of this.#scratch) {
      slot.view = this.device.allocate(slot.size, label, slot.growsWith);
    }
    for (const item of this.#items) {
      if (item.kind === "dispatch") item.group = this.#bindGroup(item);
      else if (item.kind === "clear") item.view = this.#resolved(item.view);
      else [item.from, item.to] = [this.#resolved(item.from), this.#resolved(item.to)];
    }
  }

  /**
   * Prepares and runs the program: where one kernel is compiled after another, on this thread, the
   * GPU already computes with those that are ready.
   */
  async prepareAndRun(): Promise<this> {
    if (this.device.compilesAside) await this.compile();
    this.#allocate();
    await submitWhileCompiling(this.device, this.#items);
    return this;
  }

  /** Encodes all recorded work. */
  encode(encoder: GPUCommandEncoder): void {
    encodeItems(encoder, this.#items);
  }

  /** Submits all recorded work once. */
  run(): void {
    submitItems(this.device, this.#items);
  }

  /**
   * Runs `repeats` times with a timestamp around every dispatch, without a wait in between. Needs a
   * device with timestamps.
   *
   * @returns every dispatch in order, with its median time.
   */
  profile(repeats = 1): Promise<KernelTime[]> {
    return profileItems(this.device, this.#items, repeats);
  }

  /** Frees parameters and scratch. Buffers that were bound are not the program's. */
  [Symbol.dispose](): void {
    this.device.free(this.#uniforms, ...[...this.#scratch.values()].map(({ view }) => view));
    this.#uniforms = null;
    this.#scratch.clear();
    this.#items = [];
  }

  #bindGroup({ kernel, bindings, paramsOffset }: Dispatch): GPUBindGroup {
    const { layout } = kernel;
    const surplus = Object.keys(bindings).find((name) =>
      !layout.bindings.some((binding) => binding.name === name)
    );
    if (surplus !== undefined) {
      throw new TypeError(`Kernel ${kernel.name} has no binding "${surplus}"`);
    }
    return this.device.gpu.createBindGroup({
      layout: kernel.bindGroupLayout,
      entries: layout.bindings.map(({ name, binding, type }) => {
        if (type === "uniform") {
          const size = roundUp(4 * layout.params.length, 16);
          return { binding, resource: { buffer: this.#uniforms!, offset: paramsOffset, size } };
        }
        const view = bindings[name];
        if (!view) throw new TypeError(`Kernel ${kernel.name}: binding "${name}" was not given`);
        const { buffer, offset, size } = this.#resolved(view);
        if (this.device.isFreed(buffer)) { // an error of the GPU's would be the device's for good
          throw new TypeError(`Kernel ${kernel.name}: the buffer of "${name}" was freed meanwhile`);
        }
        return { binding, resource: { buffer, offset, size } };
      }),
    });
  }

  /** The view with its buffer: that of scratch memory exists only from now on. */
  #resolved(view: BufferView): BufferView {
    const slot = this.#scratch.get(view.buffer.label);
    if (slot?.stand !== view.buffer) return view;
    const { buffer, offset } = slot.view!;
    return { ...view, buffer, offset: offset + view.offset };
  }
}

/**
 * Workgroups for `count` independent items, folded into two dimensions where one would be too long.
 */
export function linearGrid(count: number, perWorkgroup: number): [number, number] {
  const groups = Math.ceil(count / perWorkgroup);
  const width = Math.min(groups, 32768);
  return [width, width === 0 ? 0 : Math.ceil(groups / width)];
}
