import { assert } from "@std/assert";
import { memoryRow } from "../../scripts/memory_table.ts";

Deno.test("the memory that docs/TRAINING.md tells is what is planned", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/TRAINING.md", import.meta.url));
  for (const name of ["smollm2-135m", "llama3-8b"]) {
    const row = await memoryRow(name);
    assert(page.includes(row), `run scripts/memory_table.ts, for ${row}`);
  }
});
