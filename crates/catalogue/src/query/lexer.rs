//! Text into tokens.

use super::error::{QueryError, QueryErrorKind};
use super::key::{self, Key};
use super::tree::{Comparison, Extent, Pattern};
use crate::file::Word;

/// A token and where it starts, in characters from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) column: usize,
    pub(super) kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Open,
    Close,
    Or,
    And,
    Not,
    Text(Pattern),
    Keyed {
        key: Key,
        operator: Operator,
        value: Value,
    },
}

/// What stands between a key and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Colon,
    Compare(Comparison),
}

/// What stands behind a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) column: usize,
    pub(super) pattern: Pattern,
    /// The user's own field that it is of, if it is.
    pub(super) own: Option<String>,
}

/// A key, what stands behind it, and the user's own field that it names.
type Keyed = (Key, Operator, Option<String>);

/// All tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut lexer = Lexer {
        chars: text.chars().collect(),
        at: 0,
    };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
}

impl Lexer {
    fn next(&mut self) -> Result<Option<Token>, QueryError> {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        let column = self.column();
        let kind = match self.peek() {
            None => return Ok(None),
            Some('(') => self.single(TokenKind::Open),
            Some(')') => self.single(TokenKind::Close),
            Some('-') => self.minus()?,
            Some('"') => TokenKind::Text(self.quoted()?),
            Some(_) => self.word()?,
        };
        Ok(Some(Token { column, kind }))
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn column(&self) -> usize {
        self.at + 1
    }

    fn single(&mut self, kind: TokenKind) -> TokenKind {
        self.at += 1;
        kind
    }

    fn minus(&mut self) -> Result<TokenKind, QueryError> {
        let column = self.column();
        self.at += 1;
        match self.peek() {
            Some(next) if !next.is_whitespace() && next != ')' => Ok(TokenKind::Not),
            _ => Err(QueryErrorKind::MissingOperand("-")
                .suggesting(column, "to search for it, put it in quotes")),
        }
    }

    /// Text between quotes, in which `\"` and `\\` stand for a quote and a backslash.
    fn quoted(&mut self) -> Result<Pattern, QueryError> {
        let opening = self.column();
        let mut text = String::new();
        loop {
            self.at += 1;
            match self.peek() {
                None => return Err(QueryErrorKind::UnclosedQuote.at(opening)),
                Some('"') => break,
                Some(c) if c.is_control() => {
                    return Err(QueryErrorKind::ControlCharacter.at(self.column()));
                }
                Some('\\') => {
                    if let Some(escaped @ ('"' | '\\')) = self.chars.get(self.at + 1) {
                        text.push(*escaped);
                        self.at += 1;
                    } else {
                        text.push('\\');
                    }
                }
                Some(c) => text.push(c),
            }
        }
        self.at += 1;
        let mut extent = Extent::Whole;
        if self.peek() == Some('*') {
            extent = Extent::Prefix;
            self.at += 1;
        }
        match self.peek() {
            Some(next) if !next.is_whitespace() && next != ')' => Err(QueryErrorKind::NeedsQuotes
                .suggesting(self.column(), "leave a space behind the quote")),
            _ => Ok(Pattern { text, extent }),
        }
    }

    /// A word, an operator or a key with its value.
    fn word(&mut self) -> Result<TokenKind, QueryError> {
        let start = self.at;
        if let Some((key, operator, own)) = self.key()? {
            let column = self.column();
            let pattern = match self.peek() {
                Some('"') => self.quoted()?,
                Some('P' | 'p') if key == Key::Within => self.bracketed()?,
                _ => self.bare()?,
            };
            let value = Value {
                column,
                pattern,
                own,
            };
            return Ok(TokenKind::Keyed {
                key,
                operator,
                value,
            });
        }
        for (word, operator) in [
            ("OR", TokenKind::Or),
            ("AND", TokenKind::And),
            ("NOT", TokenKind::Not),
        ] {
            if self.stands_alone(start, word) {
                self.at += word.len();
                return Ok(operator);
            }
        }
        self.bare().map(TokenKind::Text)
    }

    fn stands_alone(&self, start: usize, word: &str) -> bool {
        let same = word
            .chars()
            .zip(self.chars.iter().skip(start))
            .filter(|(wanted, found)| wanted == *found)
            .count();
        let next = self.chars.get(start + word.len());
        same == word.len() && next.is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')'))
    }

    /// A name of letters, digits, `_` and `.` with an operator behind it. Stays where it is if there is none.
    fn key(&mut self) -> Result<Option<Keyed>, QueryError> {
        let rest = self.chars.get(self.at..).unwrap_or_default();
        let is_name = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '.');
        let name: String = rest.iter().take_while(|c| is_name(c)).collect();
        let length = name.chars().count();
        let first = |offset: usize| rest.get(length + offset).copied();
        let (operator, width) = match (first(0), first(1)) {
            (Some('!'), Some('=')) if name.starts_with(char::is_alphabetic) => {
                let key = key::lookup(&name, self.column())?.word();
                return Err(QueryErrorKind::NotEqual
                    .suggesting(self.column(), format!("write -{key}: and the value")));
            }
            (Some(':'), _) => (Operator::Colon, 1),
            (Some('='), _) => (Operator::Compare(Comparison::Equal), 1),
            (Some('<'), Some('=')) => (Operator::Compare(Comparison::AtMost), 2),
            (Some('>'), Some('=')) => (Operator::Compare(Comparison::AtLeast), 2),
            (Some('<'), _) => (Operator::Compare(Comparison::Less), 1),
            (Some('>'), _) => (Operator::Compare(Comparison::More), 1),
            _ => return Ok(None),
        };
        if !name.starts_with(char::is_alphabetic) {
            return Ok(None);
        }
        let key = key::lookup(&name, self.column())?;
        self.at += length + width;
        Ok(Some((
            key,
            operator,
            key::own_field(&name).map(str::to_owned),
        )))
    }

    /// Text up to the end of its parentheses, spaces and all: `POLYGON((0 0, 1 1, 1 0))`.
    fn bracketed(&mut self) -> Result<Pattern, QueryError> {
        let opening = self.column();
        let (mut text, mut depth) = (String::new(), 0_usize);
        while let Some(c) = self.peek().filter(|c| !c.is_control()) {
            match c {
                '(' => depth += 1,
                ')' if depth == 0 => break,
                ')' => depth -= 1,
                c if c.is_whitespace() && depth == 0 => break,
                _ => {}
            }
            text.push(c);
            self.at += 1;
        }
        if depth > 0 {
            return Err(QueryErrorKind::UnclosedParenthesis.at(opening));
        }
        let extent = Extent::Whole;
        Ok(Pattern { text, extent })
    }

    /// Text without quotes, up to a space or parenthesis.
    fn bare(&mut self) -> Result<Pattern, QueryError> {
        let start = self.at;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            match c {
                ')' => break,
                c if c.is_whitespace() => break,
                '(' | '"' => {
                    let suggestion = "put the whole word in quotes";
                    return Err(QueryErrorKind::NeedsQuotes.suggesting(self.column(), suggestion));
                }
                c if c.is_control() => {
                    return Err(QueryErrorKind::ControlCharacter.at(self.column()));
                }
                c => text.push(c),
            }
            self.at += 1;
        }
        let extent = if text.ends_with('*') {
            Extent::Prefix
        } else {
            Extent::Whole
        };
        if extent == Extent::Prefix {
            text.pop();
        }
        if let Some(star) = text.chars().position(|c| c == '*') {
            let suggestion = "to search for a star, put it in quotes";
            return Err(QueryErrorKind::MisplacedStar.suggesting(start + star + 1, suggestion));
        }
        Ok(Pattern { text, extent })
    }
}
