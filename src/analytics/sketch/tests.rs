use proptest::prelude::*;
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

use super::*;

/// The bytes before registers, and before the number of coupons.
const REGISTERS_HEAD: [u8; 2] = [1, 1];
const COUPONS_HEAD: [u8; 2] = [1, 0];

fn of(users: impl IntoIterator<Item = u64>) -> Sketch {
    let mut sketch = Sketch::default();
    users.into_iter().for_each(|user| sketch.add(&user.to_string()));
    sketch
}

#[test]
fn the_error_is_as_published() {
    // 1.04 / sqrt(4096); the composite estimate comes close to it. The mean of 100 squares of normal errors stays
    // within 1.3 of its square with a probability of more than 0.9999.
    const SIGMA: f64 = 0.0163;
    for users in [1_000_u64, 20_000] {
        let mut squares = 0.0;
        for seed in 0..100_u64 {
            let sketch = of((0..users).map(|user| seed << 32 | user));
            squares += (sketch.estimate() / users as f64 - 1.0).powi(2);
        }
        let rms = (squares / 100.0).sqrt();
        assert!(rms <= SIGMA * 1.3, "{rms} with {users} users");
    }
}

#[test]
fn few_users_are_counted_almost_exactly() {
    for users in [0, 1, 7, 8, 24, 25, 100, 384] {
        let sketch = of(0..users);
        assert!((sketch.estimate() - users as f64).abs() < 0.5, "{users}");
        assert_eq!(sketch.is_empty(), users == 0);
    }
    assert_eq!(of(0..1).encode().len(), 7);
    assert!(of(0..1_000_000).encode().len() < 2_100);
}

/// A user has the same coupon in every version of the library; otherwise old sketches would count it twice.
#[test]
fn stored_sketches_stay_readable() {
    let mut sketch = Sketch::default();
    ["ann", "bob", "ünal"].iter().for_each(|user| sketch.add(user));
    assert_eq!(sketch.encode(), [1, 0, 3, 248, 17, 96, 4, 216, 249, 172, 11, 191, 32, 100, 28]);
}

/// Every size around which the library changes what it holds.
const SIZES: [u64; 17] = [0, 1, 6, 7, 8, 9, 24, 25, 48, 49, 96, 192, 193, 383, 384, 385, 5_000];

#[test]
fn registers_do_not_depend_on_the_order_of_adding_merging_and_reading() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for a in SIZES {
        for b in SIZES {
            // They overlap by half of the smaller.
            let shift = a - a.min(b) / 2;
            let all = of((0..a).chain(shift..shift + b));
            let mut shuffled: Vec<u64> = (0..a).chain(shift..shift + b).collect();
            shuffled.shuffle(&mut random);
            let (left, right) = (of(0..a), of(shift..shift + b));
            let mut forth = left.clone();
            forth.merge(&right);
            let mut back = Sketch::decode(&right.encode()).unwrap();
            back.merge(&Sketch::decode(&left.encode()).unwrap());
            for other in [of(shuffled), forth, back, Sketch::decode(&all.encode()).unwrap()] {
                assert_eq!(other.encode(), all.encode(), "{a} and {b}");
                assert_eq!(other.estimate().to_bits(), all.estimate().to_bits(), "{a} and {b}");
            }
        }
    }
}

#[test]
fn a_union_of_many_that_were_stored_does_not_undercount() {
    let users = 50_000_u64;
    let mut union = Sketch::default();
    for hour in 0..96 {
        let stored = of((0..users).filter(|user| user % 96 == hour || user % 7 == hour % 7)).encode();
        union.merge(&Sketch::decode(&stored).unwrap());
        union = Sketch::decode(&union.encode()).unwrap();
    }
    assert_eq!(union, of(0..users));
    assert!((union.estimate() / users as f64 - 1.0).abs() < 4.0 * 0.0163, "{}", union.estimate());
}

#[test]
fn registers_that_cannot_be_are_refused() {
    let full = of(0..5_000).encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = full.clone();
        bytes[at] = byte;
        Sketch::decode(&bytes)
    };
    assert!(with(0, 2).is_err(), "another version");
    assert!(with(1, 2).is_err(), "another content");
    assert!(with(2, 64).is_err(), "too large a register");
    assert!(Sketch::decode(&full[..full.len() - 1]).is_err(), "cut off");
    let zeros = [&REGISTERS_HEAD[..], &[0], &[0; REGISTERS / 2]].concat();
    assert!(Sketch::decode(&zeros).is_err(), "empty registers");
    let no_value = [&COUPONS_HEAD[..], &[1], &[1, 0, 0, 0]].concat();
    assert!(Sketch::decode(&no_value).is_err(), "a coupon without a value");
    let twice = [&COUPONS_HEAD[..], &[2], &[1, 0, 0, 4], &[1, 0, 0, 4]].concat();
    assert!(Sketch::decode(&twice).is_err(), "a coupon twice");
}

proptest! {
    #[test]
    fn other_bytes_are_an_error_or_read_as_written(
        mut bytes in prop::collection::vec(any::<u8>(), 0..40), seed: u64, kind in 0_u8..3,
    ) {
        if kind == 1 {
            bytes.resize(2_060, 0);
            ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes[3..]);
        }
        if kind < 2 && bytes.len() > 2 {
            bytes[..2].copy_from_slice(&[1, kind]);
        }
        if let Ok(sketch) = Sketch::decode(&bytes) {
            prop_assert_eq!(sketch.encode(), bytes);
            prop_assert!(sketch.estimate() >= 0.0);
        }
    }
}
