//! Numbers as people read them on a page: the server writes them so, and `live.js` in the same way.

/// `7,304`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many a second, or a mean: with a decimal where it is small.
#[must_use]
pub fn rate(number: f64) -> String {
    match number {
        number if number < 10.0 => format!("{number:.1}"),
        number => count(number.round() as u64),
    }
}

/// Cut, not rounded: 99.996 % must not read as all.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1} %", (share * 1e3 + 1e-9).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators() {
        let texts = [0, 999, 1_000, 7_304, 1_234_567].map(count);
        assert_eq!(texts, ["0", "999", "1,000", "7,304", "1,234,567"]);
        assert_eq!([0.0, 4.25, 9.96, 1_820.7].map(rate), ["0.0", "4.2", "10.0", "1,821"]);
    }

    #[test]
    fn a_share_never_rounds_up_to_all() {
        let texts = [0.0, 0.57, 0.28, 0.999_96, 1.0].map(percent);
        assert_eq!(texts, ["0.0 %", "57.0 %", "28.0 %", "99.9 %", "100.0 %"]);
    }
}
