/** The list of methods against what is written about it. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { OptionError } from "../../src/errors.ts";
import { methodEntry, METHODS } from "../../src/methods/registry.ts";

const page = (name: string) =>
  Deno.readTextFileSync(new URL(`../../docs/${name}`, import.meta.url));

Deno.test("every method makes what its name says, and says whether it trains", () => {
  for (const { name, bases, create } of METHODS) {
    const method = create(bases.length > 1 ? { base: bases[0] } : {});
    assertEquals([method.name, method.trains], [name, true]);
  }
});

Deno.test("every method, base and option is in the docs", () => {
  const [methods, falqon] = [page("METHODS.md"), page("FALQON.md")];
  for (const { name, bases, options } of METHODS) {
    assert(methods.includes(`\`${name}`), `METHODS.md: ${name}`);
    for (const base of bases.slice(1)) {
      assert(methods.includes(`--base ${base}`), `${name} ${base}`);
    }
    for (const option of Object.keys(options)) {
      assert([methods, falqon].some((text) => text.includes(option)), `${name}: ${option}`);
    }
  }
});

Deno.test("a method that there is not is refused with those that there are", () => {
  assertThrows(() => methodEntry("dora"), OptionError, 'There is no method "dora": give one of');
});
