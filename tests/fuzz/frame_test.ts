import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { hasFaults, table } from "../../scripts/fuzz.ts";
import { target } from "./fixtures/faulty.ts";
import { runCampaign } from "./frame/campaign.ts";
import { mutateBytes } from "./frame/mutate_bytes.ts";
import { mutateJsonText } from "./frame/mutate_json.ts";
import { mutateText } from "./frame/mutate_text.ts";
import { FuzzRandom } from "./frame/random.ts";

const MODULE = new URL("fixtures/faulty.ts", import.meta.url).href;
const ENDS = ["hang", "waits", "memory", "exit"];

/** The endings of the first inputs. */
async function endings(count: number): Promise<string[]> {
  const fuzzing = await target.prepare("");
  return Array.from({ length: count }, (_, i) => fuzzing.make(new FuzzRandom(1, i)));
}

Deno.test("a campaign counts every input, and goes on after hangs, hoards and exits", async () => {
  const count = 60;
  const made = await endings(count);
  const times = (...kinds: string[]) => made.filter((ending) => kinds.includes(ending)).length;
  assert(ENDS.every((kind) => made.includes(kind)), "a seed that meets each of them");
  const options = {
    module: MODULE,
    seed: 1,
    count,
    hangSeconds: 0.4,
    waitSeconds: 1,
    maxBytes: 2 ** 28,
  };
  const result = await runCampaign(options);
  assertEquals(
    { ...result, slowest: 0, slowestIndex: 0, findings: [] },
    {
      inputs: count,
      accepted: times("accepted"),
      named: times("named"),
      unnamed: times("unnamed", "no sentence", "endless", "no error"),
      nonsense: times("nonsense"),
      hang: times(...ENDS),
      ...{ slowest: 0, slowestIndex: 0, findings: [] },
    },
  );
  for (const { index, outcome } of result.findings) {
    const expected = ENDS.includes(made[index])
      ? "hang"
      : made[index] === "nonsense"
      ? "nonsense"
      : "unnamed";
    assertEquals(outcome, expected, `input ${index}`);
  }
  assert(hasFaults(result));
  assert(table([{ ...result, about: "faults" }]).includes(`| faults | ${count} |`));
});

Deno.test("an input depends on seed and index alone", () => {
  const make = (seed: number, index: number) => {
    const random = new FuzzRandom(seed, index);
    const seeds = [new TextEncoder().encode("a seed of bytes"), new Uint8Array(40)];
    return JSON.stringify([
      [...mutateBytes(random, seeds)],
      mutateJsonText(random, [{ a: [1, 2, { b: "c" }] }, [true, null, 1e9]]),
      mutateText(random, ["one\ntwo\nthree", "{{ x }}"], ["word"]),
    ]);
  };
  const many = Array.from({ length: 200 }, (_, i) => make(3, i));
  assertEquals(many, Array.from({ length: 200 }, (_, i) => make(3, i)));
  assert(new Set(many).size > 195, "inputs that differ");
  assertNotEquals(make(3, 5), make(4, 5));
  assertNotEquals(make(3, 5), make(3, 5 + 2 ** 32));
});
