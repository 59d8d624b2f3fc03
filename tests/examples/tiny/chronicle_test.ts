import { assert, assertEquals } from "@std/assert";
import { chronicle } from "../../../examples/tiny/generator/chronicle.ts";
import { Random } from "../../../examples/tiny/generator/random.ts";
import { HE_NAMES, NUMBERS, SHE_NAMES } from "../../../examples/tiny/generator/world.ts";

/** "Mia the fox": the name, and what kind of animal bears it, told at the first mention. */
const KIND_OF_NAME = new RegExp(`(${[...SHE_NAMES, ...HE_NAMES].join("|")}) the [a-z]+`, "g");

/** Reads a chronicle as a stranger would, and checks every remark against what was told before. */
class Reader {
  readonly #at = new Map<string, string>();
  readonly #colours = new Map<string, string>();
  #lastCount = "";

  read(chronicle: string): void {
    const text = chronicle.replaceAll(KIND_OF_NAME, "$1");
    const speech = /"([^"]*)\?" (?:asks|asked) (\w+)\. "([^"]*)," (?:says|said) (\w+)\. ?/g;
    // Speech first becomes one sentence of its own, so that sentences can be read in order.
    const flat = text.replace(
      speech,
      (_, question, asker, answer, answerer) => `#${question}#${asker}#${answer}#${answerer}. `,
    );
    for (const sentence of flat.trim().replace(/\.$/, "").split(". ")) {
      if (sentence.startsWith("#")) this.#hear(sentence.slice(1).split("#"));
      else this.#see(sentence);
    }
  }

  #see(sentence: string): void {
    let m: RegExpMatchArray | null;
    if ((m = sentence.match(/^(?:Now )?(\w+) (?:has|had) (\w+) (\w+)$/)) && isNumber(m[2])) {
      if (sentence.startsWith("Now")) assertEquals(this.#lastCount, m[2], sentence);
      this.#lastCount = m[2];
    } else if ((m = sentence.match(/^(?:He|She) (eats|ate|finds|found) (\w+)$/))) {
      const sign = m[1].startsWith("f") ? 1 : -1;
      this.#lastCount = NUMBERS[value(this.#lastCount) + sign * value(m[2])];
    } else if ((m = sentence.match(/^(\w+) (?:has|had) an? (\w+) (\w+)$/))) {
      this.#place(m[3], m[2], m[1]);
    } else if ((m = sentence.match(/^An? (\w+) (\w+) (?:is|was) (.*)$/))) {
      this.#place(m[2], m[1], m[3]);
    } else if ((m = sentence.match(/^(\w+) (?:goes|went) to (.*)$/))) this.#at.set(m[1], m[2]);
    else if ((m = sentence.match(/^(\w+) (?:takes|took) the (\w+)$/))) {
      assert(/ /.test(this.#at.get(m[2])!), `taken from someone: ${sentence}`);
      this.#at.set(m[2], m[1]);
    } else if ((m = sentence.match(/^(\w+) (?:gives|gave) the (\w+) to (\w+)$/))) {
      assertEquals(this.#at.get(m[2]), m[1], sentence);
      this.#at.set(m[2], m[3]);
    } else if ((m = sentence.match(/^(\w+) (?:puts|put) the (\w+) (.*)$/))) {
      assertEquals(this.#at.get(m[2]), m[1], sentence);
      this.#at.set(m[2], m[3]);
    } else if ((m = sentence.match(/^(\w+) (?:has|had) the (\w+)$/))) {
      assertEquals(this.#at.get(m[2]), m[1], sentence);
    } else if ((m = sentence.match(/^The (\w+) (?:is|was) (\w+)$/))) {
      assertEquals(this.#colours.get(m[1]), m[2], sentence);
    } else if ((m = sentence.match(/^(?:The )?(\w+) (?:is|was) (.*)$/))) {
      const told = this.#at.get(m[1]);
      if (told === undefined) this.#at.set(m[1], m[2]); // where someone is at first
      else assert(told === m[2] || m[2].endsWith(told), `${sentence}, but ${told} was told`);
    } else throw new Error(`A sentence that the test cannot read: ${sentence}`);
  }

  #hear([question, asker, answer, answerer]: string[]): void {
    const thing = question.match(/the (\w+)/)![1];
    if (/^(What colour|Is)/.test(question)) {
      const colour = this.#colours.get(thing)!;
      assert(answer.endsWith(` is ${colour}`), `${question}? ${answer}.`);
      if (question.startsWith("Is")) {
        assertEquals(answer.startsWith("Yes"), question.endsWith(colour));
      }
      return;
    }
    const at = this.#at.get(thing)!;
    const holder = at === asker ? "You have it" : at === answerer ? "I have it" : `${at} has it`;
    assertEquals(answer, question.startsWith("Who") ? holder : `It is ${at}`);
  }

  #place(thing: string, colour: string, at: string): void {
    this.#colours.set(thing, colour);
    this.#at.set(thing, at);
  }
}

function value(word: string): number {
  return (NUMBERS as readonly string[]).indexOf(word);
}

function isNumber(word: string): boolean {
  return value(word) >= 0;
}

Deno.test("whatever a chronicle says or answers follows from what it told before", () => {
  const random = new Random(1);
  for (let i = 0; i < 1000; i++) new Reader().read(chronicle(random));
});

Deno.test("a chronicle keeps to one tense outside of speech", () => {
  const random = new Random(2);
  for (let i = 0; i < 200; i++) {
    const told = chronicle(random).replaceAll(/"[^"]*"/g, "");
    const present = /\b(is|has|goes|gives|puts|takes|eats|finds|asks|says)\b/.test(told);
    const past = /\b(was|had|went|gave|took|ate|found|asked|said)\b/.test(told);
    assert(present !== past, told);
  }
});
