/** Objects of WebGPU are freed by the collector of garbage, which does not come by itself for many steps. */

import { assert } from "@std/assert";
import { MOST_ENCODERS } from "../../src/gpu/device.ts";
import { Program } from "../../src/gpu/program.ts";
import { device } from "../support/device.ts";
import { CAN_COUNT_NATIVE_BYTES, nativeBytes } from "../support/memory.ts";

Deno.test({
  name: "what submits leave behind is freed when a read-back finds much of it",
  ignore: !CAN_COUNT_NATIVE_BYTES,
  fn: async () => {
    const view = device.allocate(64, "cleared");
    using program = new Program(device);
    program.clear(view);
    await program.prepare();
    const submit = async (count: number) => {
      for (let i = 0; i < count; i++) {
        program.run();
        if (i % 64 === 63) await device.finish();
      }
      await device.finish();
    };
    await submit(128);
    const before = nativeBytes();
    await submit(MOST_ENCODERS - 256);
    const grown = nativeBytes() - before;
    assert(grown > 200 * (MOST_ENCODERS - 256), `only ${grown} bytes are left behind`);
    await submit(128);
    await device.read(view);
    await device.finish();
    // What is collected is swept piece by piece.
    const isSwept = () => nativeBytes() - before < grown / 4;
    for (let i = 0; i < 100 && !isSwept(); i++) await new Promise((done) => setTimeout(done, 20));
    const left = nativeBytes() - before;
    assert(left < grown / 4, `${left} of ${grown} bytes are still there`);
  },
});
