/**
 * The block Hadamard transform by its definition: element (i, j) of Sylvester's matrix of order n is
 * 1/√n, or −1/√n where i and j have an odd number of ones in common.
 *
 * @param x Whole rows of a width that `block` divides.
 * @param block Columns of a block: a power of two.
 * @returns x with every block multiplied by the matrix, in f64.
 */
export function rotate(x: ArrayLike<number>, block: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += block) {
    for (let j = 0; j < block; j++) {
      let sum = 0;
      for (let i = 0; i < block; i++) sum += hasOddOnes(i & j) ? -x[start + i] : x[start + i];
      y[start + j] = sum / Math.sqrt(block);
    }
  }
  return y;
}

function hasOddOnes(value: number): boolean {
  let odd = false;
  for (let rest = value; rest > 0; rest >>= 1) odd = odd !== ((rest & 1) === 1);
  return odd;
}
