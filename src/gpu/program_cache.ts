/**
 * Programs by name, each recorded and compiled when it is first asked for.
 *
 * @module
 */

import type { Device } from "./device.ts";
import { Program } from "./program.ts";

/** Recorded programs of a device. */
export class ProgramCache {
  readonly #device: Device;
  readonly #programs = new Map<string, Promise<Program>>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** The program of this name; one that cannot be compiled is recorded again when asked for again. */
  get(name: string, record: (program: Program) => void): Promise<Program> {
    let prepared = this.#programs.get(name);
    if (!prepared) {
      const program = new Program(this.#device);
      record(program);
      prepared = program.prepare().catch((error) => {
        this.#programs.delete(name);
        program[Symbol.dispose]();
        throw error;
      });
      this.#programs.set(name, prepared);
    }
    return prepared;
  }

  /** Frees every program. */
  clear(): void {
    for (const program of this.#programs.values()) {
      program.then((it) => it[Symbol.dispose](), () => {}); // one that failed was disposed of
    }
    this.#programs.clear();
  }
}
