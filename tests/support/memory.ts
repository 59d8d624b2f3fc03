/** Bytes in use: what V8 does not know of is in the C library's allocator. */

/** Fields of `struct mallinfo2` of the GNU C library, each a `size_t`. */
const FIELDS = 10;
/** Bytes of blocks that are in use, of all arenas, and of blocks that are mapped by themselves. */
const [MAPPED, IN_USE] = [4, 7];

/** Whether {@linkcode nativeBytes} can tell. */
export const CAN_COUNT_NATIVE_BYTES: boolean = Deno.build.target.endsWith("linux-gnu");

/** Bytes that native code has from the C library's allocator and has not freed. */
export function nativeBytes(): number {
  using library = open();
  const info = library.symbols.mallinfo2();
  const fields = new BigUint64Array(info.buffer, info.byteOffset, FIELDS);
  return Number(fields[MAPPED] + fields[IN_USE]);
}

function open() {
  const library = Deno.dlopen("libc.so.6", {
    mallinfo2: { parameters: [], result: { struct: Array(FIELDS).fill("usize") } },
  });
  return { ...library, [Symbol.dispose]: () => library.close() };
}
