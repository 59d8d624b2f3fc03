import { assertEquals } from "@std/assert";
import { globTest } from "../../../src/io/hub/glob.ts";
import { randomGenerator } from "../../support/random.ts";

Deno.test("stars, question marks and sets stay in a folder, two stars cross folders", () => {
  const fits: [glob: string, path: string, fits: boolean][] = [
    ["data/train-*", "data/train-00000-of-00001.parquet", true],
    ["data/train-*", "data/x/train-0", false],
    ["data/train-*", "data/train-0/x", false],
    ["**/*.json", "a.json", true],
    ["**/*.json", "a/b/c.json", true],
    ["**/*.json", "a/b/c.jsonl", false],
    ["a/**", "a/b/c", true],
    ["a/**", "a", false],
    ["a/**/b", "a/b", true],
    ["a/**/b", "a/x/y/b", true],
    ["a/**/b", "a/xb", false],
    ["?.csv", "a.csv", true],
    ["?.csv", "/.csv", false],
    ["[a-c].txt", "b.txt", true],
    ["[!a-c].txt", "b.txt", false],
    ["[^a-c].txt", "d.txt", true],
    ["a+(b).$", "a+(b).$", true],
    ["a.c", "abc", false],
    ["[", "[", true],
    ["", "", true],
    ["*", "", true],
    ["café*", "café\u{1f600}", true],
    ["\u{1f600}?", "\u{1f600}a", true],
    ["[\u{1f600}]", "\u{1f600}", true],
  ];
  for (const [glob, path, expected] of fits) {
    assertEquals(globTest(glob)(path), expected, `${glob} on ${path}`);
  }
});

Deno.test("patterns mean what a search by every way of sharing finds", () => {
  const random = randomGenerator(11);
  const pick = (letters: string) => letters[Math.floor(random() * letters.length)];
  const word = (letters: string, most: number) =>
    Array.from({ length: Math.floor(random() * most) }, () => pick(letters)).join("");
  let matched = 0;
  for (let i = 0; i < 3000; i++) {
    const [glob, path] = [word("ab/*?", 7), word("ab/", 8)];
    const fits = globTest(glob)(path);
    assertEquals(fits, search(glob, path), `${glob} on ${path}`);
    if (fits) matched++;
  }
  assertEquals(matched > 100, true, `${matched}`);
});

/** The same by trying everything. */
function search(glob: string, path: string): boolean {
  if (glob === "") return path === "";
  if (glob.startsWith("**/")) {
    const rest = glob.slice(3);
    return search(rest, path) ||
      [...path].some((letter, i) => letter === "/" && search(rest, path.slice(i + 1)));
  }
  const stars = /^\*+/.exec(glob)?.[0].length ?? 0;
  if (stars > 0) {
    const rest = glob.slice(
      stars > 1 && glob.slice(0, stars + 1).endsWith("**/") && stars > 2 ? stars : stars,
    );
    for (let i = 0; i <= path.length; i++) {
      if (stars === 1 && path.slice(0, i).includes("/")) return false;
      if (search(rest, path.slice(i))) return true;
    }
    return false;
  }
  if (path === "") return false;
  return (glob[0] === "?" ? path[0] !== "/" : glob[0] === path[0]) &&
    search(glob.slice(1), path.slice(1));
}

Deno.test("many stars take no time", () => {
  const path = "a".repeat(2000);
  assertEquals(globTest("*a".repeat(250) + "b")(path), false);
  assertEquals(globTest("**/".repeat(80) + "*?".repeat(100) + "b")(path), false);
  assertEquals(globTest("*".repeat(5000))(path), false);
});
