// How a workgroup makes a row and writes its codes, with one scale per row: the skeleton of the kernels that end in
// codes.
// Include-only.
//
// A row is PARTS matrices side by side, of row_vectors() vec4s each. A thread takes every THREADS-th place v in it,
// and in all parts at once. With REGISTERS it keeps what it read, of VECTORS places, so that memory is read once; a
// row too long for that is walked again for each step, from cache except for the first time.
//
// The including kernel declares `params`, row_vectors(), and of a place v, which may be past the end of the row:
//   Source, load(row, v)              what is read there. Without a branch, so that all loads of a thread are under way at
//                                     once: past the end it reads the last place again, or gives zeros
//   Row, begin_row(row)               what all places have in common
//   reduced(source, v)                REDUCES: what it adds to the sum over the row, nothing past the end
//   end_sum(row, of_row, sum, thread) REDUCES: what all places have in common once the sum is known
//   made(source, v, of_row)           the values: one vec4 per part
//   again(row, v, of_row)             the same, where they are in no register
//   keep(row, v, values)              writes what is wanted besides codes
//   keep_scaled(at, value)            the same of a value that was scaled, `at` counted in vec4s of the row-major result
//
// With COLUMN_SCALES values are divided by a scale per column before they are quantised: of a following GEMM that
// runs over these columns, the other operand carries one scale per row, which must be folded in before rounding. With
// GIVEN_SCALES the scales of the rows are inputs, and SEEN makes those NaN whose rows are not finite (row_scale.wgsl). With FIRST_ROW the codes begin at row `params.first_row` of theirs,
// and scales at `params.first_scale`.
// Without QUANTIZED there are no codes.
//
// ROTATED is what goes through the transform of hadamard.wgsl, of which a thread takes four places of a tile at once. Rows
// are always kept in registers then (VECTORS is a multiple of 4).
//   values   what is quantised (PARTS=1, no COLUMN_SCALES); what is kept besides codes is not rotated
//   source   a part of what is read, which another kernel left rotated: the transform is its own inverse. The kernel
//            declares turned(row, v), that part; Rest, rest(row, v), what else is read, without waiting for the
//            transform; and source_of(rest, part), what load(row, v) gives of the two
//! include workgroup_reduce.wgsl
//! include hadamard.wgsl
//! if QUANTIZED
//! include row_codes.wgsl
//! include column_scales.wgsl
//! end

alias Values = array<vec4<f32>, $PARTS>;

fn write_row(row: u32, thread: u32) {
  let vectors = row_vectors();
//! if REDUCES
  let begun = begin_row(row);
//! else
  let of_row = begin_row(row);
//! end
//! if ROTATED == source
//! unroll i 0 VECTORS
  let v_$i = tile_place(thread, ${i}u);
  let turned_$i = turned(row, v_$i);
//! end
//! unroll i 0 VECTORS
  let rest_$i = rest(row, v_$i);
//! end
//! unroll tile 0 VECTORS/4
  var tile_$tile: Tile;
//! unroll i 4*tile 4*tile+4
  tile_$tile[${i}u % 4u] = turned_$i;
//! end
  tile_$tile = rotated(tile_$tile, thread);
//! unroll i 4*tile 4*tile+4
  let source_$i = source_of(rest_$i, tile_$tile[${i}u % 4u]);
//! end
//! end
//! elif REGISTERS
//! unroll i 0 VECTORS
//! if ROTATED == values
  let v_$i = tile_place(thread, ${i}u);
//! else
  let v_$i = thread + ${i}u * THREADS;
//! end
  let source_$i = load(row, v_$i);
//! end
//! end

//! if REDUCES
  var sum = 0.0;
//! if REGISTERS
//! unroll i 0 VECTORS
  sum += reduced(source_$i, v_$i);
//! end
//! else
  for (var v = thread; v < vectors; v += THREADS) { sum += reduced(load(row, v), v); }
//! end
  let of_row = end_sum(row, begun, workgroup_sum(sum, thread), thread);
//! end

//! if REGISTERS
//! unroll i 0 VECTORS
  let values_$i = made(source_$i, v_$i, of_row);
//! end
//! unroll i 0 VECTORS
  if (v_$i < vectors) { keep(row, v_$i, values_$i); }
//! end
//! elif !GIVEN_SCALES
  // Kept here, and if there are codes, the largest magnitude.
  var amax = 0u;
  for (var v = thread; v < vectors; v += THREADS) {
    let values = made(load(row, v), v, of_row);
    keep(row, v, values);
//! if QUANTIZED
//! unroll part 0 PARTS
    amax = max(amax, largest(by_column(values[$part], ${part}u * vectors + v)));
//! end
//! end
  }
//! end

//! if QUANTIZED
//! if ROTATED == values
  // The selection also keeps a compiler from making one operation of the product that a value is and the sums to come.
//! unroll tile 0 VECTORS/4
  var tile_$tile: Tile;
//! unroll i 4*tile 4*tile+4
  tile_$tile[${i}u % 4u] = select(vec4<f32>(), values_$i[0], v_$i < vectors);
//! end
  tile_$tile = rotated(tile_$tile, thread);
//! unroll i 4*tile 4*tile+4
  let out_${i}_0 = tile_$tile[${i}u % 4u];
//! end
//! end
//! elif REGISTERS
//! unroll i 0 VECTORS
//! unroll part 0 PARTS
  let out_${i}_$part = by_column(values_$i[$part], ${part}u * vectors + min(v_$i, vectors - 1u));
//! end
//! end
//! end
//! if GIVEN_SCALES
  let scale = encoding_scale(scales[scale_place(row)]);
//! if SEEN
  var seen = 0u; // the bits of what is not finite, or of some number
//! end
//! else
//! if REGISTERS
  var amax = 0u;
//! unroll i 0 VECTORS
//! unroll part 0 PARTS
  amax = max(amax, select(0u, largest(out_${i}_$part), v_$i < vectors));
//! end
//! end
//! end
  let made_scale = scale_of(workgroup_max_bits(amax, thread));
  if (thread == 0u) { scales[scale_place(row)] = made_scale; }
  let scale = encoding_scale(made_scale);
//! end
//! if REGISTERS
//! unroll i 0 VECTORS
  if (v_$i < vectors) {
//! unroll part 0 PARTS
    write_scaled(row, ${part}u * vectors + v_$i, out_${i}_$part * scale);
//! if SEEN
    seen = max(seen, largest(out_${i}_$part));
//! end
//! end
  }
//! end
//! else
  for (var v = thread; v < vectors; v += THREADS) {
    let values = again(row, v, of_row);
//! unroll part 0 PARTS
    let at_$part = ${part}u * vectors + v;
    let out_$part = by_column(values[$part], at_$part);
    write_scaled(row, at_$part, out_$part * scale);
//! if SEEN
    seen = max(seen, largest(out_$part));
//! end
//! end
  }
//! end
//! if SEEN
  let of_row_seen = workgroup_max_bits(seen, thread);
  if (thread == 0u && of_row_seen >= 0x7f800000u) { scales[scale_place(row)] = not_a_number(of_row_seen); }
//! end
//! if LAYOUT == panels
  // Up to the pitch of the codes.
  let filled = $PARTS * vectors;
  if (thread < code_words(filled) - filled) { write_codes(place_of(row, filled + thread), vec4<f32>()); }
//! end
//! end
}

//! if QUANTIZED
fn scale_place(row: u32) -> u32 {
//! if FIRST_ROW
  return params.first_scale + row;
//! else
  return row;
//! end
}

fn place_of(row: u32, v: u32) -> u32 {
//! if FIRST_ROW
  return code_place(params.first_row + row, v, code_words($PARTS * row_vectors()));
//! else
  return code_place(row, v, code_words($PARTS * row_vectors()));
//! end
}

fn write_scaled(row: u32, v: u32, value: vec4<f32>) {
  write_codes(place_of(row, v), value);
  keep_scaled($PARTS * row * row_vectors() + v, value);
}
//! end
