//! "Did you mean": for names that are nearly others.

/// Of `known`, the one that `name` is nearly, if any is.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of it may be wrong, and two letters of anything but the shortest.
    let most = if name.len() < 4 { 1 } else { (name.len() / 3).max(2) };
    let lower = name.to_lowercase();
    let distance = |other: &str| strsim::osa_distance(&lower, &other.to_lowercase());
    let near = known.into_iter().map(|other| (distance(other), other)).filter(|(distance, _)| *distance <= most);
    near.min_by_key(|(distance, _)| *distance).map(|(_, other)| other)
}

/// `; did you mean ...?` for a message, if there is such a name.
#[must_use]
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|other| format!("; did you mean `{other}`?")).unwrap_or_default()
}

/// The same where `known` are few: all of them, if none is meant.
#[must_use]
pub fn meant_or_known<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(other) => format!("; did you mean `{other}`?"),
        None => format!("; known: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_meant() {
        let known = ["seller", "price", "id", "listing_key"];
        for (name, meant) in [
            ("prise", Some("price")),
            ("Price", Some("price")),
            ("sellre", Some("seller")),
            ("listingkey", Some("listing_key")),
            ("ids", Some("id")),
            ("quantity", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
    }
}
