/**
 * What a fuzz target is: a parser, inputs for it, and what may happen to them.
 *
 * @module
 */

import type { FuzzRandom } from "./random.ts";

/** A parser that is tried with inputs which nobody wrote. Each file of `tests/fuzz/targets/` exports one as `target`. */
export interface FuzzTarget<Input = unknown> {
  /** What is tried, in the words of the table. */
  about: string;
  /** An input of a cheap target takes under a millisecond or so, of a dear one more. */
  cost: "cheap" | "dear";
  /** Inputs that the tests try. Default: a thousand of a cheap target, thirty of a dear one. */
  gate?: number;
  /** Whether it makes something of every input, and refuses none. Default false. */
  refusesNothing?: boolean;
  /**
   * Opens what all inputs need.
   *
   * @param folder An empty folder for this target alone; it is removed afterwards.
   */
  prepare(folder: string): Fuzzing<Input> | Promise<Fuzzing<Input>>;
}

/** A target that is ready. */
export interface Fuzzing<Input = unknown> {
  /** Makes an input, which depends on the random numbers and on nothing else. */
  make(random: FuzzRandom): Input;
  /**
   * Runs an input. It is accepted if this returns. The product's own errors pass through.
   *
   * @throws {Nonsense} when the input was accepted, and the oracle says that it, or what was read, is wrong.
   */
  run(input: Input): unknown;
  /** The input as a developer wants to see it. Default: text, or bytes. */
  show?(input: Input): string;
  /** Frees what was opened. */
  close?(): void | Promise<void>;
}

/** What was accepted, or refused, and should not have been. */
export class Nonsense extends Error {
  override name = "Nonsense";
}

/** What happened to an input. `hang` is an end by force: of a hang, of memory out of proportion, or of the process. */
export type Outcome = "accepted" | "named" | "unnamed" | "nonsense" | "hang";

/** Inputs of a campaign if no number is given. */
export const CAMPAIGN_INPUTS = { cheap: 100_000, dear: 5_000 } as const;

/** Inputs of a target in the tests. */
export function gateInputs({ cost, gate }: FuzzTarget): number {
  return gate ?? (cost === "cheap" ? 1000 : 30);
}

/** The module of a target. A file in the folder of targets is all that registers one. */
export function targetModule(name: string): string {
  return new URL(`../targets/${name}.ts`, import.meta.url).href;
}

/** The names of all targets. */
export function targetNames(): string[] {
  return [...Deno.readDirSync(new URL("../targets/", import.meta.url))]
    .filter(({ name, isFile }) => isFile && name.endsWith(".ts"))
    .map(({ name }) => name.slice(0, -".ts".length))
    .sort();
}

/** Loads a target by the address of its module. */
export async function loadTarget(module: string): Promise<FuzzTarget> {
  return (await import(module)).target;
}
