import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type FalqonError, FileError, OptionError } from "../../src/errors.ts";
import { toFloat32 } from "../../src/io/dtype.ts";
import { SafetensorsFile, type TensorSource, writeSafetensors } from "../../src/io/safetensors.ts";
import { golden } from "../support/golden.ts";
import { shared, sharedTest, withFolder } from "../support/io.ts";

/** The bytes of a safetensors file with this header, taken as it is, and this many data bytes. */
function fileBytes(header: string | object, dataLength: number): Uint8Array {
  const json = typeof header === "string" ? header : JSON.stringify(header);
  const text = new TextEncoder().encode(json);
  const bytes = new Uint8Array(8 + text.length + dataLength);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const bytesOf = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

Deno.test("what writeSafetensors writes, SafetensorsFile reads back", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.safetensors`;
    const sources: TensorSource[] = [
      { name: "codes", dtype: "F8_E4M3", shape: [3, 1], data: () => Uint8Array.of(1, 2, 3) },
      {
        name: "weight",
        dtype: "F32",
        shape: [2, 2],
        data: () => Promise.resolve(bytesOf(1, 2, 3, 4)),
      },
      { name: "empty", dtype: "BF16", shape: [0, 7], data: () => new Uint8Array() },
      { name: "scalar", dtype: "I64", shape: [], data: () => new Uint8Array(8).fill(9) },
      {
        name: 'a "quoted" ключ',
        dtype: "U8",
        shape: [5],
        async *data() {
          yield Uint8Array.of(1, 2);
          yield Uint8Array.of();
          yield Uint8Array.of(3, 4, 5);
        },
      },
    ];
    await writeSafetensors(path, sources, { format: "pt", note: "x" });
    using file = await SafetensorsFile.open(path);
    assertEquals(file.metadata, { format: "pt", note: "x" });
    assertEquals(file.tensors.size, sources.length);
    for (const { name, dtype, shape } of sources) {
      const info = file.tensors.get(name)!;
      assertEquals([info.dtype, info.shape], [dtype, shape]);
    }
    assertEquals(await file.read("codes"), Uint8Array.of(1, 2, 3));
    assertEquals(await file.read('a "quoted" ключ'), Uint8Array.of(1, 2, 3, 4, 5));
    assertEquals(await file.read("scalar"), new Uint8Array(8).fill(9));
    assertEquals(await file.read("empty"), new Uint8Array());
    assertEquals(toFloat32(await file.read("weight"), "F32"), Float32Array.of(1, 2, 3, 4));
    assertEquals(toFloat32(await file.readRange("weight", 4, 8), "F32"), Float32Array.of(2, 3));
    for (const { byteOffset, dtype } of file.tensors.values()) {
      assertEquals(byteOffset % { I64: 8, F32: 4, BF16: 2, F8_E4M3: 1, U8: 1 }[dtype as "U8"], 0);
    }
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["a.safetensors"]);
  }));

Deno.test("concurrent reads of one file do not mix", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.safetensors`;
    const sources = Array.from({ length: 20 }, (_, i) => ({
      name: `t${i}`,
      dtype: "U8" as const,
      shape: [1000],
      data: () => new Uint8Array(1000).fill(i),
    }));
    await writeSafetensors(path, sources);
    using file = await SafetensorsFile.open(path);
    const read = await Promise.all(sources.map(({ name }) => file.read(name)));
    read.forEach((bytes, i) => assert(bytes.every((byte) => byte === i)));
  }));

Deno.test("a header that lies is refused with a sentence that names the file", () =>
  withFolder(async (folder) => {
    const path = `${folder}/bad.safetensors`;
    const tensor = (more: object) => ({ dtype: "F32", shape: [2], data_offsets: [0, 8], ...more });
    const huge = new Uint8Array(16);
    new DataView(huge.buffer).setBigUint64(0, 2n ** 63n, true);
    const cut = fileBytes({ a: tensor({}) }, 8).subarray(0, 30);
    const cases: [string, Uint8Array, string][] = [
      ["empty file", new Uint8Array(), "it has 0 bytes"],
      ["7 bytes", new Uint8Array(7), "it has 7 bytes"],
      ["huge header", huge, "header of 9223372036854775808 bytes"],
      ["truncated header", cut, "only 22 follow"],
      ["truncated data", fileBytes({ a: tensor({}) }, 7), "the 7 bytes that follow"],
      ["no JSON", fileBytes("{nope", 0), "not valid JSON"],
      [
        "a deep one",
        fileBytes(`{"a":${"[".repeat(1e5)}${"]".repeat(1e5)}}`, 0),
        "nested more than",
      ],
      ["no UTF-8", fileBytes("{}", 0).with(8, 0xff), "not valid JSON"],
      ["an array", fileBytes("[1]", 0), "not a JSON object but [1]"],
      ["null", fileBytes("null", 0), "not a JSON object but null"],
      ["a number for a tensor", fileBytes({ a: 3 }, 0), 'describes "a" as 3'],
      ["unknown dtype", fileBytes({ a: tensor({ dtype: "F4" }) }, 8), 'the dtype "F4"'],
      ["no dtype", fileBytes({ a: tensor({ dtype: undefined }) }, 8), "the dtype nothing"],
      ["inherited dtype", fileBytes({ a: tensor({ dtype: "toString" }) }, 8), "the dtype"],
      ["negative size", fileBytes({ a: tensor({ shape: [-2] }) }, 8), "the shape [-2]"],
      ["fractional size", fileBytes({ a: tensor({ shape: [0.5] }) }, 8), "the shape [0.5]"],
      ["huge shape", fileBytes({ a: tensor({ shape: [2 ** 40, 2 ** 40] }) }, 8), "the shape"],
      ["no shape", fileBytes({ a: tensor({ shape: undefined }) }, 8), "the shape nothing"],
      ["size of another shape", fileBytes({ a: tensor({ shape: [3] }) }, 8), "takes 12 bytes"],
      ["one offset", fileBytes({ a: tensor({ data_offsets: [8] }) }, 8), "data_offsets [8]"],
      ["reversed offsets", fileBytes({ a: tensor({ data_offsets: [8, 0] }) }, 8), "[8,0]"],
      ["negative offset", fileBytes({ a: tensor({ data_offsets: [-8, 0] }) }, 8), "[-8,0]"],
      ["fractional offset", fileBytes({ a: tensor({ data_offsets: [0.5, 8.5] }) }, 9), "[0.5,8.5]"],
      [
        "overlap",
        fileBytes({ a: tensor({}), b: tensor({ data_offsets: [4, 12] }) }, 12),
        "overlaps",
      ],
      ["same bytes", fileBytes({ a: tensor({}), b: tensor({}) }, 8), "overlaps"],
      ["a hole", fileBytes({ a: tensor({ data_offsets: [4, 12] }) }, 12), "4 bytes before"],
      ["bytes left over", fileBytes({ a: tensor({}) }, 10), "last 2 bytes"],
      [
        "a name twice",
        fileBytes('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0061":{}}', 0),
        '"a" twice',
      ],
      [
        "a field twice",
        fileBytes('{"a":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}', 0),
        '"dtype" twice',
      ],
      ["metadata of numbers", fileBytes({ __metadata__: { a: 1 } }, 0), "__metadata__"],
      ["metadata of no kind", fileBytes({ __metadata__: "pt" }, 0), "__metadata__"],
    ];
    for (const [what, bytes, message] of cases) {
      await Deno.writeFile(path, bytes);
      const error = await assertRejects(
        () => SafetensorsFile.open(path),
        FileError,
        undefined,
        what,
      );
      assertStringIncludes(error.message, `"${path}"`, what);
      assertStringIncludes(error.message, message, what);
    }
  }));

Deno.test("a hostile header neither crashes nor stalls the reader", () =>
  withFolder(async (folder) => {
    const path = `${folder}/bad.safetensors`;
    const hostile = [
      `{"${"\\n".repeat(4_000_000)}":0}`,
      "[".repeat(1_000_000),
      `{"a":{"dtype":${"[".repeat(100_000)}${"]".repeat(100_000)}}}`,
    ];
    for (const header of hostile) {
      await Deno.writeFile(path, fileBytes(header, 0));
      await assertRejects(() => SafetensorsFile.open(path), FileError);
    }
  }));

Deno.test("a missing file and a folder are said plainly", () =>
  withFolder(async (folder) => {
    await assertRejects(
      () => SafetensorsFile.open(`${folder}/none.safetensors`),
      FileError,
      `Cannot open "${folder}/none.safetensors": there is no such file or folder; check the path`,
    );
    await assertRejects(() => SafetensorsFile.open(folder), FileError, "it is not a file");
  }));

Deno.test("an empty safetensors file has no tensors", () =>
  withFolder(async (folder) => {
    await Deno.writeFile(`${folder}/a`, fileBytes("{}   ", 0));
    using file = await SafetensorsFile.open(`${folder}/a`);
    assertEquals([file.tensors.size, file.metadata], [0, {}]);
  }));

Deno.test("reads of unknown names, impossible ranges, and after close are refused", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.safetensors`;
    await writeSafetensors(path, [
      { name: "a", dtype: "F32", shape: [2], data: () => bytesOf(1, 2) },
    ]);
    const file = await SafetensorsFile.open(path);
    await assertRejects(() => file.read("b"), FileError, "no tensor of this name");
    for (const [start, length] of [[0, 9], [-1, 2], [8, 1], [0.5, 1], [0, NaN]]) {
      await assertRejects(() => file.readRange("a", start, length), OptionError, "it has 8 bytes");
    }
    assertEquals(await file.readRange("a", 8, 0), new Uint8Array());
    file.close();
    file.close();
    await assertRejects(() => file.read("a"), FileError, "is closed");
  }));

Deno.test("a file that shrinks while it is open gives a sentence, and later reads still work", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.safetensors`;
    const a = { name: "a", dtype: "U8" as const, shape: [100], data: () => new Uint8Array(100) };
    await writeSafetensors(path, [a, { ...a, name: "b" }]);
    using file = await SafetensorsFile.open(path);
    await Deno.truncate(path, file.tensors.get("b")!.byteOffset + 10);
    await assertRejects(() => file.read("b"), FileError, "ends 90 bytes too early");
    assertEquals(await file.read("a"), new Uint8Array(100));
  }));

Deno.test("a failed write says why, keeps the old file and leaves no other", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.safetensors`;
    const good: TensorSource = { name: "a", dtype: "F32", shape: [2], data: () => bytesOf(1, 2) };
    await writeSafetensors(path, [good]);
    const before = await Deno.readFile(path);
    const bad: [TensorSource[], new (message: string) => FalqonError, string][] = [
      [[{ ...good, data: () => bytesOf(1) }], FileError, "takes 8 bytes, but its data has 4"],
      [[{ ...good, data: () => bytesOf(1, 2, 3) }], FileError, "but its data has at least 12"],
      [
        [{
          ...good,
          async *data() {
            yield bytesOf(1);
            yield bytesOf(2, 3);
          },
        }],
        FileError,
        "at least 12",
      ],
      [[good, { ...good }], OptionError, 'two tensors named "a"'],
      [[{ ...good, name: "__metadata__" }], OptionError, "__metadata__"],
      [[{ ...good, shape: [1.5] }], OptionError, "its shape [1.5]"],
      [
        [{
          ...good,
          data() {
            throw new FileError("no data today");
          },
        }],
        FileError,
        "no data today",
      ],
    ];
    for (const [sources, type, message] of bad) {
      await assertRejects(() => writeSafetensors(path, sources), type, message);
      assertEquals(await Deno.readFile(path), before);
      assertEquals([...Deno.readDirSync(folder)].length, 1);
    }
    await assertRejects(
      () => writeSafetensors(`${folder}/none/a.safetensors`, [good]),
      FileError,
      "there is no such file or folder",
    );
  }));

Deno.test("a file that transformers wrote is read, with the name of the format", async () => {
  using file = await SafetensorsFile.open(`${golden}llama3/model.safetensors`);
  assertEquals(file.metadata, { format: "pt" });
  const info = file.tensors.get("model.layers.1.mlp.down_proj.weight")!;
  assertEquals([info.dtype, info.shape], ["F32", [48, 36]]);
  const values = toFloat32(await file.read(info.name), "F32");
  // They were drawn with the deviation 1.4 / sqrt(36).
  const deviation = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  assert(Math.abs(deviation / (1.4 / 6) - 1) < 0.1, `${deviation}`);
});

sharedTest("a larger file that transformers wrote is read", async () => {
  using file = await SafetensorsFile.open(`${shared}models/stories260K/model.safetensors`);
  assertEquals(file.metadata, { format: "pt" });
  const info = file.tensors.get("model.layers.4.mlp.down_proj.weight")!;
  assertEquals([info.dtype, info.shape], ["F32", [64, 172]]);
  assert(toFloat32(await file.read(info.name), "F32").every(Number.isFinite));
});
