/**
 * Chronicles: texts without a plot, in which characters move, carry and count things, and talk
 * about them. The world is simulated, so that whatever is said is true at that moment. Nothing in
 * them can be guessed from the words before alone; they teach a model to keep track.
 *
 * @module
 */
import type { Random } from "./random.ts";
import { type Character, drawCast } from "./scene.ts";
import { capitalise, withArticle } from "./template.ts";
import {
  COLOURS,
  count,
  type Food,
  FOODS,
  NUMBERS,
  type Place,
  PLACES,
  SPOTS,
  TOYS,
} from "./world.ts";

interface Person extends Character {
  /** `null` where the text has not said it. */
  place: Place | null;
  food: Food;
  foodCount: number;
}

interface Thing {
  noun: string;
  colour: string;
  /** Who has it, or where it lies. */
  at: Person | string;
}

const PRESENT = {
  is: "is",
  has: "has",
  goes: "goes",
  gives: "gives",
  puts: "puts",
  takes: "takes",
  eats: "eats",
  finds: "finds",
  asks: "asks",
  says: "says",
};

const PAST: typeof PRESENT = {
  is: "was",
  has: "had",
  goes: "went",
  gives: "gave",
  puts: "put",
  takes: "took",
  eats: "ate",
  finds: "found",
  asks: "asked",
  says: "said",
};

/** Writes one chronicle of 2 to 11 sentences, without a final newline. */
export function chronicle(random: Random): string {
  const world = new World(random);
  const lines = world.introduce();
  const length = lines.length + 1 + random.below(5);
  while (lines.length < length) {
    lines.push(random.below(2) === 0 ? world.happen() : world.remark());
  }
  return lines.join(" ");
}

class World {
  readonly #random: Random;
  readonly #verbs: typeof PRESENT;
  readonly #people: Person[];
  readonly #things: Thing[];
  readonly #introduced = new Set<Person>();

  constructor(random: Random) {
    this.#random = random;
    this.#verbs = random.pick([PRESENT, PAST]);
    const places = random.sample(PLACES, 3);
    const foods = random.sample(FOODS, 3);
    const arePlaced = random.below(2) === 0;
    this.#people = drawCast(random, 1 + random.below(3)).map((character, i) => ({
      ...character,
      place: arePlaced ? places[i] : null,
      food: foods[i],
      foodCount: 2 + random.below(6),
    }));
    const colours = random.sample(COLOURS, 3);
    this.#things = random.sample(TOYS, 1 + random.below(3)).map((noun, i) => ({
      noun,
      colour: colours[i],
      at: this.#people[i] ?? random.pick(SPOTS),
    }));
  }

  /** Says where everyone and everything is. */
  introduce(): string[] {
    const { is, has } = this.#verbs;
    const lines: string[] = [];
    for (const person of this.#people) {
      if (person.place) lines.push(`${this.#name(person)} ${is} ${person.place.at}.`);
    }
    for (const { noun, colour, at } of this.#random.sample(this.#things, this.#things.length)) {
      const thing = `${withArticle(colour)} ${noun}`;
      lines.push(
        typeof at === "string"
          ? `${capitalise(thing)} ${is} ${at}.`
          : `${this.#name(at)} ${has} ${thing}.`,
      );
    }
    return lines;
  }

  /** Lets something happen, and tells it. */
  happen(): string {
    const verbs = this.#verbs;
    const [one, other] = this.#drawPeople();
    const thing = this.#random.pick(this.#things);
    switch (this.#random.below(4)) {
      case 0:
        one.place = this.#random.pick(PLACES.filter((place) => place !== one.place));
        return `${this.#name(one)} ${verbs.goes} to ${one.place.noun}.`;
      case 1:
        return this.#eatOrFind(one);
    }
    const holder = thing.at;
    if (typeof holder === "string") {
      thing.at = one;
      return `${this.#name(one)} ${verbs.takes} the ${thing.noun}.`;
    }
    if (other && holder !== other) {
      thing.at = other;
      return `${this.#name(holder)} ${verbs.gives} the ${thing.noun} to ${this.#name(other)}.`;
    }
    thing.at = this.#random.pick(SPOTS);
    return `${this.#name(holder)} ${verbs.puts} the ${thing.noun} ${thing.at}.`;
  }

  /** Says or asks something that is true now. */
  remark(): string {
    const { is, has } = this.#verbs;
    const [one, other] = this.#drawPeople();
    const thing = this.#random.pick(this.#things);
    if (other && this.#random.below(2) === 0) return this.#talk(one, other, thing);
    const { noun, colour, at } = thing;
    if (one.place && this.#random.below(3) === 0) {
      return `${this.#name(one)} ${is} ${one.place.at}.`;
    }
    if (this.#random.below(2) === 0) return `The ${noun} ${is} ${colour}.`;
    return typeof at === "string"
      ? `The ${noun} ${is} ${at}.`
      : `${this.#name(at)} ${has} the ${noun}.`;
  }

  #talk(one: Person, other: Person, { noun, colour, at }: Thing): string {
    const { asks, says } = this.#verbs;
    const say = (question: string, answer: string) =>
      `"${question}?" ${asks} ${this.#name(one)}. "${answer}," ${says} ${this.#name(other)}.`;
    switch (this.#random.below(4)) {
      case 0:
        return say(`What colour is the ${noun}`, `It is ${colour}`);
      case 1: {
        const guess = this.#random.pick([colour, this.#random.pick(this.#things).colour]);
        return say(
          `Is the ${noun} ${guess}`,
          `${guess === colour ? "Yes" : "No"}, it is ${colour}`,
        );
      }
    }
    if (typeof at === "string") return say(`Where is the ${noun}`, `It is ${at}`);
    const holder = at === other ? "I have" : at === one ? "You have" : `${at.name} has`;
    return say(`Who has the ${noun}`, `${holder} it`);
  }

  #eatOrFind(person: Person): string {
    const { has, eats, finds } = this.#verbs;
    const { he, food, foodCount } = person;
    const change = 1 + this.#random.below(3);
    const eaten = change <= foodCount && this.#random.below(2) === 0;
    person.foodCount += eaten ? -change : change;
    return `${this.#name(person)} ${has} ${count(foodCount, food)}. ${capitalise(he)} ` +
      `${eaten ? eats : finds} ${NUMBERS[change]}. ` +
      `Now ${he} ${has} ${count(person.foodCount, food)}.`;
  }

  /** Two people, or the only one and `undefined`. */
  #drawPeople(): [Person, Person | undefined] {
    const [one, other] = this.#random.sample(this.#people, this.#people.length);
    return [one, other];
  }

  /** The name, with the kind when it is spoken of for the first time. */
  #name(person: Person): string {
    if (this.#introduced.has(person)) return person.name;
    this.#introduced.add(person);
    return `${person.name} the ${person.kind.noun}`;
  }
}
