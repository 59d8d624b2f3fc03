/**
 * Every error this package throws on purpose. A message is one sentence that
 * gives the value found, the value wanted and what to do about it.
 *
 * @module
 */

import { printable } from "./printable.ts";

/** The base of all errors thrown on purpose by this package. */
export class FalqonError extends Error {
  /** The name of the concrete class. */
  override name: string = this.constructor.name;

  /**
   * Makes an error. What its message quotes from files and answers is shown with control characters
   * escaped, since messages go to terminals.
   */
  constructor(message?: string, options?: ErrorOptions) {
    super(message === undefined ? message : printable(message), options);
  }
}

/** An option, flag or argument has a value that cannot be used. */
export class OptionError extends FalqonError {}

/** A file is missing, unreadable, truncated or not in the format it claims. */
export class FileError extends FalqonError {}

/** A row of training data is malformed, or no usable row is left. */
export class DataError extends FalqonError {}

/** A model folder describes something unsupported or contradicts itself. */
export class ModelError extends FalqonError {}

/** No suitable GPU, or a request beyond what the GPU can hold or do. */
export class DeviceError extends FalqonError {}

/** A checkpoint that a run can go on from. */
export interface KeptCheckpoint {
  /** Optimizer steps done in it. */
  step: number;
  /** Where it is. */
  folder: string;
}

/**
 * The GPU is gone in the middle of work: its driver reset it, or something destroyed it. Everything on
 * it is lost; another device may work.
 */
export class DeviceLostError extends DeviceError {
  /** Steps that a trainer had done; null where none was at work. */
  step: number | null = null;
  /** What is kept of its run; null for nothing. */
  kept: KeptCheckpoint | null = null;
}

/** Training met a state it must not continue from, such as a NaN loss. */
export class TrainingError extends FalqonError {}

/** A model hub cannot be reached, does not have what was asked for, or does not give it. */
export class HubError extends FalqonError {}
