/**
 * One compiled compute kernel.
 *
 * @module
 */

import { DeviceError } from "../errors.ts";
import { type KernelLayout, parseLayout } from "./layout.ts";

/** The error of a sentence, or of what is behind it. */
type Explain = (sentence: string, cause: unknown) => DeviceError | Promise<DeviceError>;

const plainError: Explain = (sentence, cause) => new DeviceError(sentence, { cause });

/**
 * A kernel variant: its WGSL, what it binds, and its pipeline. The bind group layout is explicit,
 * so that steps can be recorded while the driver still compiles.
 */
export class Kernel {
  /** The name of the `.wgsl` file without its ending. */
  readonly name: string;
  /** The WGSL given to the driver. */
  readonly code: string;
  /** Bindings and parameters, read from the code. */
  readonly layout: KernelLayout;
  /** The layout of bind group 0. */
  readonly bindGroupLayout: GPUBindGroupLayout;
  readonly #gpu: GPUDevice;
  readonly #explain: Explain;
  #pipeline: GPUComputePipeline | null = null;
  #compiling: Promise<void> | null = null;

  /** @param explain Makes the error of a kernel that was not compiled. */
  constructor(gpu: GPUDevice, name: string, code: string, explain: Explain = plainError) {
    this.#gpu = gpu;
    this.#explain = explain;
    this.name = name;
    this.code = code;
    this.layout = parseLayout(code);
    this.bindGroupLayout = gpu.createBindGroupLayout({
      label: name,
      entries: this.layout.bindings.map(({ binding, type }) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type },
      })),
    });
  }

  /** Compiles the pipeline; further calls wait for the first. */
  compile(): Promise<void> {
    return this.#compiling ??= this.#compile();
  }

  /** Whether {@linkcode Kernel.compile} is done. */
  get isCompiled(): boolean {
    return this.#pipeline !== null;
  }

  /** The compiled pipeline. */
  get pipeline(): GPUComputePipeline {
    if (!this.#pipeline) throw new TypeError(`Kernel ${this.name} is used before compile()`);
    return this.#pipeline;
  }

  async #compile(): Promise<void> {
    const gpu = this.#gpu;
    gpu.pushErrorScope("validation");
    const module = gpu.createShaderModule({ label: this.name, code: this.code });
    const layout = gpu.createPipelineLayout({ bindGroupLayouts: [this.bindGroupLayout] });
    const compute = { module, entryPoint: "main" };
    const scope = gpu.popErrorScope().catch((error: Error) => error);
    let failure: unknown;
    try {
      this.#pipeline = await gpu.createComputePipelineAsync({ label: this.name, layout, compute });
    } catch (error) {
      failure = error;
    }
    const message = (await scope)?.message ?? (failure as Error | undefined)?.message;
    if (message !== undefined) {
      throw await this.#explain(`Cannot compile kernel ${this.name}: ${message}`, failure);
    }
  }
}
