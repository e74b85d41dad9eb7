//! A count with its noun in the singular or plural.

/// `1 request`, `2 requests`.
#[must_use]
pub fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let texts = [0, 1, 2].map(|count| counted(count, "request", "requests"));
        assert_eq!(texts, ["0 requests", "1 request", "2 requests"]);
    }
}
