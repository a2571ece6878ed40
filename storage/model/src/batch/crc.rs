//! CRC-32C (Castagnoli), and the CRC of two pieces from their own CRCs.

/// x^0 in the reflected representation: bit 31 is the coefficient of x^0.
const ONE: u32 = 1 << 31;
/// The Castagnoli polynomial, reflected, without x^32.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// CRC-32C of two pieces put together: `a` of the first, `b` of the second, which has `len_b` bytes. Reads no data.
pub fn crc32c_combine(a: u32, b: u32, len_b: u64) -> u32 {
    multiply(a, shift_by_bytes(len_b)) ^ b
}

/// x^(8 * bytes) modulo the polynomial, from one table row for each byte of the count.
fn shift_by_bytes(bytes: u64) -> u32 {
    let mut shift = ONE;
    for (row, digit) in SHIFTS.iter().zip(bytes.to_le_bytes()) {
        if digit != 0 {
            shift = multiply(shift, row[usize::from(digit)]);
        }
    }
    shift
}

/// The product of two polynomials over GF(2), modulo the polynomial, all reflected.
const fn multiply(a: u32, b: u32) -> u32 {
    let mut product = 0;
    let mut a = a;
    let mut b = b;
    while a != 0 {
        // The highest bit is the lowest power.
        product ^= b & 0u32.wrapping_sub(a >> 31);
        a <<= 1;
        b = (b >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(b & 1));
    }
    product
}

/// `SHIFTS[i][d]` is x^(8 * d * 256^i).
static SHIFTS: [[u32; 256]; 8] = shifts();

const fn shifts() -> [[u32; 256]; 8] {
    let mut rows = [[ONE; 256]; 8];
    // x^8: eight places from x^0 towards the lower bits.
    let mut step = ONE >> 8;
    let mut i = 0;
    while i < 8 {
        let mut d = 1;
        while d < 256 {
            rows[i][d] = multiply(rows[i][d - 1], step);
            d += 1;
        }
        step = multiply(rows[i][255], step);
        i += 1;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_check_value_of_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn combines_every_split_and_long_zero_tails() {
        let data: Vec<u8> = (0..1000u32).map(|i| (i * 31 % 251) as u8).collect();
        for split in 0..=data.len() {
            let (a, b) = data.split_at(split);
            assert_eq!(crc32c_combine(crc32c(a), crc32c(b), b.len() as u64), crc32c(&data), "split at {split}");
        }
        for zeros in [255usize, 256, 257, 65_535, 65_536, 70_001, 1 << 24] {
            let tail = vec![0; zeros];
            let whole = [&data[..], &tail].concat();
            assert_eq!(crc32c_combine(crc32c(&data), crc32c(&tail), zeros as u64), crc32c(&whole), "{zeros} zeros");
        }
    }

    #[test]
    fn is_associative_for_lengths_beyond_32_bits() {
        let (a, b, c) = (0x1234_5678, 0x9ABC_DEF0, 0x0F1E_2D3C);
        let (len_b, len_c) = (0x1_2345_6789_u64, 0xFEDC_BA98_7654_u64);
        let left = crc32c_combine(crc32c_combine(a, b, len_b), c, len_c);
        let right = crc32c_combine(a, crc32c_combine(b, c, len_c), len_b + len_c);
        assert_eq!(left, right);
    }
}
