/**
 * Draws of related slots that stories and tasks share.
 *
 * @module
 */
import type { Random } from "./random.ts";
import { kindSlots } from "./scene.ts";
import {
  ABILITIES,
  type Ability,
  count,
  FOODS,
  KINDS,
  MIXTURES,
  NUMBERS,
  OPPOSITES,
  RIDDLES,
} from "./world.ts";

/** Draws `had` and `change`, and their sum or difference `now`, all of one food, the `thing`. */
export function drawSum(random: Random, sign: 1 | -1): Record<string, string> {
  const food = random.pick(FOODS);
  const change = 1 + random.below(4);
  const had = (sign === 1 ? 1 : change) + random.below(6);
  return {
    had: count(had, food),
    change: count(change, food),
    changeNumber: NUMBERS[change],
    now: count(had + sign * change, food),
    thing: food.many,
  };
}

/** Draws two colours, `one` and `two`, and the colour `mixed` from them. */
export function drawMixture(random: Random): Record<string, string> {
  const [left, right, mixed] = random.pick(MIXTURES);
  const [one, two] = random.sample([left, right], 2);
  return { one, two, mixed };
}

/** Draws two opposites, `one` and `two`, and a `thing` that can be either. */
export function drawOpposites(random: Random): Record<string, string> {
  const { pair, things } = random.pick(OPPOSITES);
  const [one, two] = random.sample(pair, 2);
  return { one, two, thing: random.pick(things) };
}

/** Draws a `riddle`, its `answer` and a `wrong` one. */
export function drawRiddle(random: Random): Record<string, string> {
  const [[riddle, answer], [, wrong]] = random.sample(RIDDLES, 2);
  return { riddle, answer, wrong };
}

/**
 * Gives each role another ability and a kind of animal that has it: what the hero can do is
 * `hero.can`, and what is done with it, `hero.ability`.
 */
export function drawAbilities(random: Random, roles: readonly string[]): Record<string, string> {
  const abilities = random.sample(Object.keys(ABILITIES) as Ability[], roles.length);
  return Object.assign(
    {},
    ...roles.map((role, i) => ({
      [`${role}.ability`]: abilities[i],
      [`${role}.can`]: ABILITIES[abilities[i]],
      ...kindSlots(role, random.pick(KINDS.filter(({ ability }) => ability === abilities[i]))),
    })),
  );
}
