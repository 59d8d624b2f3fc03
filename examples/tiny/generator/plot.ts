/**
 * What a plot is, and the openings that plots share.
 *
 * @module
 */
import type { Random } from "./random.ts";

/** One kind of text: templates told one after the other in one scene. */
export interface Plot {
  /** Draws slots of this plot's own, again for every text. */
  draw?: (random: Random) => Record<string, string>;
  /** One template per step of the plot; a step that starts with a newline starts a paragraph. */
  beats: readonly string[];
}

/** Openings of a story about one character. */
export const ALONE =
  "[One [sunny|cold|windy|warm] [morning|day|evening], {hero} [went|walked|ran] to {place}." +
  "|Once there was {hero.named}. {Hero} lived {hero.home}." +
  "|{Hero} was {place.at}. [The sun was warm.|The wind was cold.|The sky was blue.|It was late.]" +
  "|Long ago, {hero.named} lived {hero.home}." +
  "|It was a [sunny|cold|windy|warm] [morning|day|evening]. {Hero} was {place.at}.]";

/** Openings of a story about two characters who know each other. */
export const TOGETHER =
  "[One [sunny|cold|windy|warm] [morning|day|evening], {hero} and {friend} [went|walked|ran] to {place}." +
  "|{Hero} and {friend} were [good|old] friends." +
  "|{Hero} and {friend} [played|sat] {place.at}." +
  "|Once {hero} met {friend} {place.at}.]";
