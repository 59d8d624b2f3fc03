/**
 * Plots that describe: who someone is, what someone can do, how the world goes.
 *
 * @module
 */
import { drawAbilities, drawMixture, drawOpposites, drawRiddle } from "./draws.ts";
import { type Plot, TOGETHER } from "./plot.ts";

const PORTRAIT: Plot = {
  beats: [
    "This is {hero}. {Hero.name} lives {hero.home}.",
    "{Hero.he} has {a colour} {toy} and {a colour1} {toy1}.",
    "[{Hero.he} likes to eat {hero.likes}.|{Hero.he} likes {hero.likes}, but {hero.he} does not like {food.many}.]",
    "[The {toy} is {spot}, and the {toy1} is {spot1}.|Every day {hero.he} goes to {place} and takes the {toy} along.]",
    "\n{Hero.his} best friend is {friend}. {Friend.name} lives {friend.home} and has {a colour2} {toy2}.",
  ],
};

const ABILITIES: Plot = {
  draw: (random) => drawAbilities(random, ["hero", "friend", "other"]),
  beats: [
    "{A hero.kind} can {hero.can}, but it cannot {friend.can}. {A friend.kind} can {friend.can}, but it cannot {other.can}.",
    "{A hero.kind} lives {hero.home} and likes {hero.likes}. {A friend.kind} lives {friend.home} and likes {friend.likes}.",
    '\n{Hero} said to {friend}, "I can {hero.can}. What can you do?"',
    '"I can {friend.can}," said {friend}. "It is good that we are not the same!"',
  ],
};

const OPPOSITE: Plot = {
  draw: drawOpposites,
  beats: [
    "There were two {thing}s {place.at}. One was {one}, and the other was {two}.",
    '[{Hero} and {friend} looked at them|{Hero} showed them to {friend}]. "I like the {one} {thing}," said {hero}. "I like the {two} {thing}," said {friend}.',
    '{Other} said, "[{A thing} cannot be {one} and {two}|{Two} is not {one}, and {one} is not {two}]."',
    "\n[So {hero} took the {one} {thing}, and {friend} took the {two} {thing}.|So each of them took the one they liked.|They laughed, because it was true.]",
  ],
};

const PAINTING: Plot = {
  draw: drawMixture,
  beats: [
    "{Hero} wanted to paint [a picture|the door|the wall|{a toy}] {mixed}, but {hero.he} had no {mixed} paint.",
    '{Friend} said, "{One} and {two} make {mixed}."',
    "{Hero} put {one} paint and {two} paint into a cup and mixed them. [It was true.|It worked.] Now {hero.he} had {mixed} paint.",
    "\n[{Hero} painted all day.|They painted together until the evening.] [It looked very good.|The {mixed} paint was on the floor too.]",
  ],
};

const YEAR: Plot = {
  beats: [
    "{Hero} lived {hero.home}.",
    "In spring {hero.he} [saw the first leaves|heard the birds sing|put seeds into the ground].",
    "In summer {hero.he} [swam in the lake|sat in the sun|slept in the grass].",
    "In autumn {hero.he} [ate {food.colour} {food.many}|looked at the brown leaves|played in the wind].",
    "In winter {hero.he} [walked in the snow|sat by the fire|stayed in bed].",
    "\n[Then it was spring again.|{Hero} liked [spring|summer|autumn|winter] best.]",
  ],
};

const DAILY: Plot = {
  beats: [
    "Every morning {hero} gets up and eats {food.many}. Then {hero.he} goes to {place}[ with {hero.his} {colour} {toy}|].",
    "At noon {hero.he} [meets {friend}, and they play|sits in the sun and reads a book|works hard].",
    "In the evening {hero.he} [tells a story|cooks soup|counts the stars] and goes to bed.",
    "\nBut one day {hero} did not get up. {Hero.he} [had a dream|slept too long]. When {hero.he} opened {hero.his} eyes, [it was noon|{other} stood by the bed]!",
    "[{Hero.he} ran to {place} as fast as {hero.he} could.|{Hero} laughed and ate {a food1.one} in bed.]",
  ],
};

const RIDDLE: Plot = {
  draw: drawRiddle,
  beats: [
    TOGETHER,
    '"I have a [question|riddle] for you," said {hero}. "What {riddle}?"',
    '[{Friend} thought for a long time. "|"Is it the {wrong}?" asked {friend}. "No," said {hero}. {Friend} thought again. "]I know! It is the {answer}!"',
    '"Yes, that is the [right|] answer," said {hero}.',
    "\n[Then {friend} asked the next question.|They both laughed.|As a prize {friend} got {a food.one}.]",
  ],
};

const MEASURE: Plot = {
  draw: (random) => {
    const [quality, more, most] = random.pick([
      ["big", "bigger", "biggest"],
      ["fast", "faster", "fastest"],
      ["old", "older", "oldest"],
      ["strong", "stronger", "strongest"],
      ["small", "smaller", "smallest"],
    ]);
    return { quality, more, most };
  },
  beats: [
    '{Hero}, {friend} and {other} met {place.at}. "Who is the {most}?" they asked.',
    "{Hero} was {more} than {friend}, and {other} was {more} than {hero}.",
    "So {other} was the {most} of all.",
    '\n["But I have the {colour} {toy}," said {friend}.|"I am happy as I am," said {friend}.|"You are very {quality}," said {friend} to {other}.]',
    "[They laughed and went to {place1}.|They were friends all the same.]",
  ],
};

/** All plots of this file. */
export const FACT_PLOTS: readonly Plot[] = [
  PORTRAIT,
  ABILITIES,
  OPPOSITE,
  PAINTING,
  YEAR,
  DAILY,
  RIDDLE,
  MEASURE,
];
