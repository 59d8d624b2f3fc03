/**
 * `state.json` of a checkpoint: what it holds, and how it is written and read so that no damage to it
 * goes unnoticed.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { isCount, MOST_COUNT, MOST_STEPS } from "../checks.ts";
import { expectPosition } from "../data/position.ts";
import type { LoaderPosition } from "../data/types.ts";
import { FileError, OptionError } from "../errors.ts";
import { isJsonObject, readJson, showJson } from "../io/json.ts";
import type { Checksums } from "./checkpoint_tensors.ts";
import type { Fingerprints } from "./fingerprint.ts";
import type { MadeBy } from "./made_by.ts";
import type { MethodSettings } from "./method_settings.ts";
import type { HeldOutLoss } from "./metrics.ts";

/** Name of the file. */
export const STATE_FILE = "state.json";
const FORMAT = "falqon-checkpoint-2";
/** The format before there were checksums of the file itself. */
const EARLIER_FORMAT = "falqon-checkpoint-1";
const SHA256 = /^[0-9a-f]{64}$/;

/** Every field of it. */
const FIELDS: readonly string[] = [
  ...["format", "step", "tokens", "position", "method", "settings", "options", "date"],
  ...["evaluations", "fingerprints", "madeBy", "checksums"],
];

/** What the file holds. */
export interface CheckpointState {
  /** Optimizer steps done. */
  step: number;
  /** Tokens trained on. */
  tokens: number;
  /** Position from which the data continues; null at the start. */
  position: LoaderPosition | null;
  /** Name of the method. */
  method: string;
  /** The method's options. Older checkpoints have none. */
  settings?: MethodSettings;
  /** The run's options, to tell the user what differs. */
  options: Record<string, unknown>;
  /** Held-out losses until then. Older checkpoints have none. */
  evaluations?: HeldOutLoss[];
  /** The day that the chat template was told, where it names the date. */
  date?: string;
  /** What the run was started with. Older checkpoints have none. */
  fingerprints?: Fingerprints;
  /** What computed it. Older checkpoints do not say. */
  madeBy?: MadeBy;
  /** Of the tensors. Older checkpoints have none. */
  checksums?: Checksums;
}

/** The text of the file. */
export function formatState(state: CheckpointState): string {
  const content = { format: FORMAT, ...state };
  return JSON.stringify({ ...content, checksum: checksumOf(content) }, null, 2);
}

/**
 * Reads the state of a checkpoint.
 *
 * @param step What its step must be; null where the folder's name does not tell.
 * @throws {FileError} if it is missing or damaged, with the field that is wrong.
 */
export async function readState(folder: string, step: number | null): Promise<CheckpointState> {
  const json = await readJson(join(folder, STATE_FILE));
  const broken = (what: string) =>
    new FileError(
      `Cannot resume from "${folder}" as ${what}: the file was damaged after it was written, or ` +
        "another version wrote it",
    );
  if (!isJsonObject(json) || (json.format !== FORMAT && json.format !== EARLIER_FORMAT)) {
    throw broken(`its ${STATE_FILE} is not of the format ${FORMAT}`);
  }
  const { checksum, ...content } = json;
  const wrong = findWrong(content, step);
  if (wrong !== null) throw broken(`in its ${STATE_FILE} ${wrong}`);
  if (json.format === FORMAT && checksum !== checksumOf(content)) {
    throw broken(`the checksum of its ${STATE_FILE} is wrong`);
  }
  return content as unknown as CheckpointState;
}

/** Of the values, however the file is laid out. */
function checksumOf(content: object): string {
  return createHash("sha256").update(JSON.stringify(content)).digest("hex");
}

/** What is wrong with the values, as the end of a sentence; null where nothing is. */
function findWrong(json: Record<string, unknown>, wantedStep: number | null): string | null {
  const expect = (name: string, value: unknown, holds: boolean, wanted: string) =>
    holds
      ? null
      : `${name} is ${value === undefined ? "missing" : showJson(value)} and must be ${wanted}`;
  const unknown = Object.keys(json).find((name) => !FIELDS.includes(name));
  if (unknown !== undefined) return `there is a field ${showJson(unknown)}`;
  const { step, tokens, position, method, options, evaluations, fingerprints } = json;
  const { checksums, madeBy, settings, date } = json;
  const before = isJsonObject(evaluations) ? null : evaluations ?? [];
  const upTo = (most: number) => `a whole number from 0 to ${most}`;
  return expect("step", step, isCount(step, MOST_STEPS), upTo(MOST_STEPS)) ??
    expect("step", step, wantedStep === null || step === wantedStep, `${wantedStep}`) ??
    expect("tokens", tokens, isCount(tokens), upTo(MOST_COUNT)) ??
    expect("method", method, typeof method === "string", "the name of a method") ??
    expect("options", options, isJsonObject(options), "an object") ??
    expect("settings", settings, isJsonObject(settings ?? {}), "an object") ??
    expect("date", date, date === undefined || isDate(date), "a day such as 2026-11-28") ??
    wrongPosition(position, step as number) ??
    expect(
      "evaluations",
      evaluations,
      Array.isArray(before) && before.every(isEvaluation),
      "a list of held-out losses",
    ) ??
    expect(
      "fingerprints",
      fingerprints,
      isRecord(fingerprints ?? {}, (it) => it === null || isHash(it)),
      "SHA-256 sums",
    ) ??
    expect("checksums", checksums, isRecord(checksums ?? {}, isHash), "SHA-256 sums") ??
    expect(
      "madeBy",
      madeBy,
      isRecord(madeBy ?? {}, (it) => typeof it === "string"),
      "an object of texts",
    );
}

function wrongPosition(position: unknown, step: number): string | null {
  if (position === undefined) return "position is missing";
  if (position === null) return step === 0 ? null : `position is null after step ${step}`;
  try {
    expectPosition(position);
  } catch (error) {
    if (error instanceof OptionError) return `position is wrong (${error.message})`;
    throw error;
  }
  return position.batch >= step
    ? null
    : `position has ${position.batch} batches after ${step} steps`;
}

function isEvaluation(value: unknown): boolean {
  return isJsonObject(value) && isCount(value.step, MOST_STEPS) && Number.isFinite(value.loss) &&
    isCount(value.tokens);
}

function isDate(value: unknown): boolean {
  return typeof value === "string" && /^\d{4}-\d\d-\d\d$/.test(value) &&
    !Number.isNaN(Date.parse(value));
}

function isHash(value: unknown): boolean {
  return typeof value === "string" && SHA256.test(value);
}

function isRecord(value: unknown, holds: (item: unknown) => boolean): boolean {
  return isJsonObject(value) && Object.values(value).every(holds);
}
