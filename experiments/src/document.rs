//! The parts of `docs/experiments.md` that the program writes, each between two marks that a reader does not see.

use anyhow::{Context as _, Result};

/// The line before a part.
fn mark(name: &str) -> String {
    format!("<!-- experiments: {name} -->")
}

/// The line after it.
const END: &str = "<!-- end -->";

/// The part `name` of `page`.
///
/// # Errors
/// If the page has no such part.
pub fn part<'a>(page: &'a str, name: &str) -> Result<&'a str> {
    let (_, rest) = split(page, name)?;
    let end = rest
        .find(END)
        .with_context(|| format!("the part {name} has no end"))?;
    Ok(rest.get(..end).unwrap_or_default().trim())
}

/// The page with the part `name` replaced.
///
/// # Errors
/// If the page has no such part.
pub fn with_part(page: &str, name: &str, text: &str) -> Result<String> {
    let (head, rest) = split(page, name)?;
    let end = rest
        .find(END)
        .with_context(|| format!("the part {name} has no end"))?;
    let tail = rest.get(end..).unwrap_or_default();
    Ok(format!("{head}\n\n{}\n\n{tail}", text.trim()))
}

/// The page up to the mark, and after it.
fn split<'a>(page: &'a str, name: &str) -> Result<(&'a str, &'a str)> {
    let mark = mark(name);
    let at = page
        .find(&mark)
        .with_context(|| format!("the page has no part {name}"))?;
    Ok(page.split_at(at + mark.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_replaced_and_nothing_else() {
        let page = "before\n<!-- experiments: a -->\n\nold\n\n<!-- end -->\nafter\n";
        let new = with_part(page, "a", "new\n").unwrap();
        assert_eq!(new, page.replace("old", "new"));
        assert_eq!(part(&new, "a").unwrap(), "new");
        assert_eq!(with_part(&new, "a", "new").unwrap(), new);
        assert!(part(page, "b").is_err());
    }
}
