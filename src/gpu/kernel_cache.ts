/**
 * The kernels of a device, each variant compiled once.
 *
 * @module
 */

import type { Kernel } from "./kernel.ts";
import { type KernelName, kernelSources } from "./kernels.generated.ts";
import { expandTemplate, type KernelConstants } from "./template.ts";

/** Kernels by name and constants. */
export class KernelCache {
  readonly #make: (name: string, code: string) => Kernel;
  readonly #kernels = new Map<string, Kernel>();

  /** @param make Makes a kernel of its text. */
  constructor(make: (name: string, code: string) => Kernel) {
    this.#make = make;
  }

  /** The kernel in the file `<name>.wgsl` of `wgsl/` with these constants. */
  get(name: KernelName, constants: KernelConstants): Kernel {
    // Asked for each dispatch of a recorded program: half of the time of recording would be a slower key.
    let key: string = name;
    for (const constant of Object.keys(constants).sort()) {
      const value = constants[constant];
      key += `\n${constant}=${typeof value === "string" ? `"${value}"` : value}`;
    }
    let kernel = this.#kernels.get(key);
    if (!kernel) {
      kernel = this.#make(name, expandTemplate(readSource(`${name}.wgsl`), constants, readSource));
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  /** Every kernel used so far. */
  all(): Kernel[] {
    return [...this.#kernels.values()];
  }
}

function readSource(file: string): string {
  const source = kernelSources[file];
  if (source === undefined) throw new TypeError(`There is no kernel file "${file}"`);
  return source;
}
