/**
 * Plots in which something is counted.
 *
 * @module
 */
import { drawSum } from "./draws.ts";
import { ALONE, type Plot, TOGETHER } from "./plot.ts";
import { capitalise, enumerate, withArticle } from "./template.ts";
import { count, DAYS, FOODS, NUMBERS } from "./world.ts";

const GETS: Plot = {
  draw: (random) => drawSum(random, 1),
  beats: [
    ALONE,
    "{Hero.he} had {had} in {hero.his} [bag|basket|box].",
    "[{Friend} gave {hero.him} {change}.|{Hero.he} found {change} {spot}.|Then {hero.he} got {changeNumber} more from {friend}.]",
    '["How many {thing} do I have now?" asked {hero}. "You have {now}!" said {friend}.' +
    "|{Hero} counted the {thing}. Now {hero.he} had {now}." +
    '|"Now I have {now}!" said {hero}.]',
    "\n[{Hero.he} put them on the table.|They ate them together.|{Hero.he} carried them home.]",
  ],
};

const GIVES: Plot = {
  draw: (random) => drawSum(random, -1),
  beats: [
    TOGETHER,
    "{Hero} had {had}. [{Friend} was hungry.|{Friend} had no {thing}.]",
    "[So|Then] {hero} gave {friend} {change}. Now {hero} had {now}.",
    '\n["Thank you," said {friend}. "You are kind."|{Friend} ate and was happy.|They ate together {place.at}.]',
  ],
};

const MARKET: Plot = {
  draw: (random) => {
    const price = 1 + random.below(4);
    const left = random.below(4);
    const coins = (number: number) => `${NUMBERS[number]} coin${number === 1 ? "" : "s"}`;
    return { coins: coins(price + left), price: coins(price), left: coins(left) };
  },
  beats: [
    "{Hero} went to the market with {coins}. {Friend} sold [{food.many} and {food1.many}|many things] there.",
    '"How much is the {colour} {toy}?" asked {hero}. "It costs {price}," said {friend}.',
    "{Hero} gave {friend} {price} and took the {toy}. Now {hero.he} had {left} left.",
    "\n[{Hero.he} went home with the {colour} {toy}.|{Hero.he} gave the {toy} to {other}.|On the way home {hero.he} met {other} and showed {other.him} the {toy}.]",
  ],
};

const WEEK: Plot = {
  draw: (random) => {
    const foods = random.sample(FOODS, 4);
    const first = random.below(DAYS.length - 3);
    const days = foods.map((food, i) =>
      `On ${DAYS[first + i]} {hero.he} ate ${count(i + 1, food)}.`
    );
    return { days: days.join(" ") };
  },
  beats: [
    ALONE,
    "{Hero.he} was very hungry.",
    "{days}",
    "[{Hero.he} was not hungry any more.|After that {hero.he} was full.|Then {hero.he} slept for a long time.]",
  ],
};

const ALOUD: Plot = {
  draw: (random) => {
    const number = 2 + random.below(7);
    return {
      number: NUMBERS[number],
      aloud: capitalise(NUMBERS.slice(1, number + 1).join(", ")),
      thing: random.pick(["birds", "boats", "stars", "fish", "clouds", "trees"]),
    };
  },
  beats: [
    "{Hero} [looked|sat and looked] [out of the window|up|around]. There were many {thing}.",
    '"How many {thing} are there?" asked {friend}. {Hero} counted: "{aloud}."',
    '"There are {number} {thing}," said {hero}.',
    "\n[{Friend} counted them again. There were {number}.|Then one more came.]",
  ],
};

const BASKET: Plot = {
  draw: (random) => {
    const foods = random.sample(FOODS, 3);
    const [lost, ...kept] = random.sample(foods, 3);
    return {
      all: enumerate(foods.map((food) => withArticle(food.one))),
      lost: lost.one,
      kept: enumerate(kept.map((food) => withArticle(food.one))),
    };
  },
  beats: [
    TOGETHER,
    "In their basket were three things: {all}.",
    "[{Friend} ate the {lost}.|The {lost} fell out of the basket.|They gave the {lost} to {other}.]",
    "Now there were only two things in the basket: {kept}.",
    "\n[They ate them for supper.|They carried the basket to {place1}.]",
  ],
};

/** All plots of this file. */
export const COUNTING_PLOTS: readonly Plot[] = [GETS, GIVES, MARKET, WEEK, ALOUD, BASKET];
