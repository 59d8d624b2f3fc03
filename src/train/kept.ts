/**
 * What is kept of a run that the GPU ended: its error says so.
 *
 * @module
 */

import { DeviceError, DeviceLostError, type KeptCheckpoint } from "../errors.ts";

/** Errors that say it already. */
const told = new WeakSet<Error>();

/** Where a run stands. */
export interface RunStanding {
  /** Steps done. */
  step: number;
  /** What is kept of them; null for nothing. */
  kept: KeptCheckpoint | null;
}

/** An error of the GPU with what is kept; another as it is. */
export function withKept(error: unknown, { step, kept }: RunStanding): unknown {
  if (!(error instanceof DeviceError) || told.has(error)) return error;
  told.add(error);
  error.message += keptInWords({ step, kept });
  if (error instanceof DeviceLostError) Object.assign(error, { step, kept });
  return error;
}

/** Waits for work of a run; an error of the GPU says what is kept. */
export async function tellingKept<T>(run: RunStanding, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw withKept(error, run);
  }
}

/** What is kept of a run, as the rest of a sentence. */
export function keptInWords({ step, kept }: RunStanding): string {
  if (kept === null) {
    return step > 0 ? `; no checkpoint was written, so ${stepsInWords(0, step)} to do again` : "";
  }
  const words = `; step ${kept.step} is kept in "${kept.folder}", to go on from by resumeFrom`;
  return step > kept.step ? `${words}, and ${stepsInWords(kept.step, step)} to do again` : words;
}

/** The steps after one, until another, with their verb. */
export function stepsInWords(after: number, until: number): string {
  return until === after + 1 ? `step ${until} is` : `steps ${after + 1} to ${until} are`;
}
