/**
 * What a campaign and the process that runs its inputs tell each other.
 *
 * @module
 */

/** What a process is asked to run. */
export interface Job {
  /** The address of the target's module. */
  module: string;
  /** An empty folder for the target. */
  folder: string;
  /** The file of notes. */
  note: string;
  seed: number;
  /** The first index, and the first that is not run. */
  from: number;
  to: number;
}

/** Where each number stands in the file of notes, as an f64. */
export const Note = {
  /** The input that is running. */
  index: 0,
  started: 1,
  accepted: 2,
  named: 3,
  unnamed: 4,
  nonsense: 5,
  /** In milliseconds. */
  slowest: 6,
  slowestIndex: 7,
  /** 1 once all have run. */
  done: 8,
} as const;

/** Numbers in the file of notes. */
export const NOTE_LENGTH = 9;

/** An input of which a developer should know. */
export interface Finding {
  index: number;
  outcome: "unnamed" | "nonsense" | "hang";
  problem: string;
  /** The first place in `src/` of its stack. */
  place: string;
}
