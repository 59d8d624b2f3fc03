/**
 * The groups of the trainer's options, and the way between them and flat names: the command line
 * has flat names, as had the library and its checkpoints before there were groups.
 *
 * @module
 */

import { OptionError } from "../errors.ts";

/** AdamW and clipping. */
export interface OptimizerOptions {
  /** AdamW's decoupled decay of matrices. Default 0. */
  weightDecay?: number;
  /**
   * Gradients with a larger global norm are scaled down to it; 0 switches clipping off. Default 1.
   */
  maxGradNorm?: number;
  /** AdamW's decay of the mean of gradients. Default 0.9. */
  beta1?: number;
  /** AdamW's decay of the mean of squared gradients. Default 0.999. */
  beta2?: number;
  /** AdamW's eps. Default 1e-8. */
  eps?: number;
}

/** How the rows of the data become rows of a batch. */
export interface RowOptions {
  /** Several documents per row of a batch, else one, padded. Default true. */
  packing?: boolean;
  /** Shuffle the rows of the data, differently in each epoch. Default true. */
  shuffle?: boolean;
  /** Rows to choose from when shuffling. Default 10,000. */
  shuffleBuffer?: number;
  /** Learn the tokens of prompts too. Default false. */
  trainOnPrompt?: boolean;
  /** Skip and count malformed rows. Default false. */
  skipBadRows?: boolean;
}

/** Earlier spellings, which are still taken. */
export interface FlatOptions extends OptimizerOptions, RowOptions {
  /** Now `updateStats`. */
  countUpdates?: boolean;
}

/** Defaults of the group `optimizer`. */
export const OPTIMIZER_DEFAULTS: Readonly<Required<OptimizerOptions>> = {
  weightDecay: 0,
  maxGradNorm: 1,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
};

/** Defaults of the group `rows`. */
export const ROW_DEFAULTS: Readonly<Required<RowOptions>> = {
  packing: true,
  shuffle: true,
  shuffleBuffer: 10_000,
  trainOnPrompt: false,
  skipBadRows: false,
};

/** Names of the options in each group. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  optimizer: Object.keys(OPTIMIZER_DEFAULTS),
  rows: Object.keys(ROW_DEFAULTS),
};

/** Options that had another name. */
const RENAMED: Readonly<Record<string, string>> = { countUpdates: "updateStats" };

/** What an option is called now. */
function currentName(name: string): string {
  return Object.hasOwn(RENAMED, name) ? RENAMED[name] : name;
}

type Options = Record<string, unknown>;

/**
 * Moves options with flat names into their groups; those in their place stay.
 *
 * @param onMoved Is told of each that was moved or renamed.
 * @throws {OptionError} for an option that is there in both spellings.
 */
export function groupOptions(
  options: Readonly<Options>,
  onMoved: (message: string) => void = () => {},
): Options {
  const grouped: Options = { ...options };
  for (const [name, value] of Object.entries(options)) {
    const group = Object.keys(GROUPS).find((group) => GROUPS[group].includes(name));
    const target = currentName(name);
    if (group === undefined && target === name) continue;
    delete grouped[name];
    if (value === undefined) continue;
    const place = group === undefined ? target : `${group}: { ${name} }`;
    const inside = group === undefined ? grouped : { ...grouped[group] as Options };
    if (inside[target] !== undefined) {
      throw new OptionError(`Cannot use ${name} beside ${place} as they are one: give the latter`);
    }
    inside[target] = value;
    if (group !== undefined) grouped[group] = inside;
    onMoved(
      group === undefined ? `${name} is called ${place} now` : `${name} belongs into ${place}`,
    );
  }
  return grouped;
}

/**
 * The inverse: options of groups among the others, each under its own name; those without a value
 * are left out.
 */
export function flattenOptions(options: Readonly<Options>): Options {
  const flat: Options = {};
  const take = (values: Readonly<Options>) => {
    for (const [name, value] of Object.entries(values)) {
      if (value !== null && value !== undefined) flat[currentName(name)] = value;
    }
  };
  const { optimizer, rows, ...others } = options;
  take(others);
  take((optimizer ?? {}) as Options);
  take((rows ?? {}) as Options);
  return flat;
}

/** Names of the options in groups. */
export function groupedNames(group: "optimizer" | "rows"): readonly string[] {
  return GROUPS[group];
}
