//! Query parameters, read strictly: unknown and repeated names are errors, because a misspelt filter that is ignored
//! gives a wrong answer that looks right.

use axum::extract::Query;
use axum::http::Uri;

use super::problem::Problem;

/// How many items a page has if nobody says.
const LIMIT_DEFAULT: u32 = 100;
/// How many items a page has at most.
pub(crate) const LIMIT_MAX: u32 = 1000;

/// The parameters not yet read.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Those of `uri`, percent-decoded.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(Self::default());
        }
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Problem::parameter("", error.body_text()))?;
        let repeated = pairs
            .iter()
            .enumerate()
            .find(|(at, (name, _))| pairs.iter().take(*at).any(|(earlier, _)| earlier == name));
        match repeated {
            Some((_, (name, _))) => Err(Problem::parameter(name, "given more than once")),
            None => Ok(Self(pairs)),
        }
    }

    /// Takes one parameter.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Takes a number.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let value = digits.then(|| text.parse().ok()).flatten();
        value
            .map(Some)
            .ok_or_else(|| Problem::parameter(name, "a whole number, 0 or more"))
    }

    /// Takes a flag: absent is no, empty is yes.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(_) => Err(Problem::parameter(name, "true or false")),
        }
    }

    /// Takes `limit`: how many items a page may have.
    pub(crate) fn limit(&mut self) -> Result<u32, Problem> {
        let limit = self.number("limit")?.unwrap_or(LIMIT_DEFAULT.into());
        u32::try_from(limit)
            .ok()
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
            .ok_or_else(|| Problem::parameter("limit", format!("1 to {LIMIT_MAX}")))
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::parameter(name, "unknown parameter")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Result<Params, Problem> {
        Params::of(&format!("/x?{query}").parse().unwrap())
    }

    #[test]
    fn parameters_are_decoded_and_taken_once() {
        let mut params = params("q=tag%3Abeach+ice&limit=5").unwrap();
        assert_eq!(params.take("q").as_deref(), Some("tag:beach ice"));
        assert_eq!(params.take("q"), None);
        assert_eq!(params.limit().unwrap(), 5);
        assert!(params.finish().is_ok());
    }

    #[test]
    fn unknown_repeated_and_absurd_ones_are_refused() {
        assert!(params("colour=red").unwrap().finish().is_err());
        assert!(params("q=1&q=2").is_err());
        for query in ["limit=0", "limit=1001", "limit=-1", "limit=1e3", "limit="] {
            assert!(params(query).unwrap().limit().is_err(), "{query}");
        }
        assert!(params("restore=perhaps").unwrap().flag("restore").is_err());
    }

    #[test]
    fn a_flag_needs_no_value() {
        assert!(params("download").unwrap().flag("download").unwrap());
        assert!(params("download=1").unwrap().flag("download").unwrap());
        assert!(!params("").unwrap().flag("download").unwrap());
    }
}
