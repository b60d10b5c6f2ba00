//! Tokens into a tree.
//!
//! `in:`, `library:` and `sort:` concern the query as a whole: outside parentheses they may stand anywhere, also
//! beside an `OR`, and are taken out before the rest is read as a condition.

use super::error::{QueryError, QueryErrorKind};
use super::lexer::{self, Token, TokenKind};
use super::tree::{Expr, Query, Within};
use super::value::{self, Item};
use super::{DEPTH_MAX, QUERY_BYTES_MAX, TERMS_MAX};

/// Reads a query.
pub(super) fn parse(text: &str) -> Result<Query, QueryError> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(QueryErrorKind::TooLong.at(1));
    }
    let mut parser = Parser {
        tokens: lexer::tokens(text)?,
        at: 0,
        terms: 0,
        query: Query::default(),
    };
    let filter = parser.alternatives(0)?;
    if let Some(token) = parser.peek() {
        return Err(QueryErrorKind::UnopenedParenthesis.at(token.column));
    }
    let query = Query {
        filter,
        ..parser.query
    };
    // The canonical text may need quotes and escapes that the original went without, and is to be a query as well.
    if query.canonical().len() > QUERY_BYTES_MAX {
        return Err(QueryErrorKind::TooLong.at(1));
    }
    Ok(query)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    terms: usize,
    query: Query,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Parts with `OR` between them; nothing if there is no condition at all.
    fn alternatives(&mut self, depth: usize) -> Result<Option<Expr>, QueryError> {
        let mut parts = Vec::new();
        let mut or_column = None;
        loop {
            let part = self.conjunction(depth)?;
            let next_or = self.peek().filter(|token| token.kind == TokenKind::Or);
            let next_or = next_or.map(|token| token.column);
            match (part, or_column.or(next_or)) {
                (Some(part), _) => flatten_or(part, &mut parts),
                (None, Some(column)) => return Err(QueryErrorKind::MissingOperand("OR").at(column)),
                (None, None) => {}
            }
            if next_or.is_none() {
                break;
            }
            or_column = next_or;
            self.at += 1;
        }
        Ok(joined(parts, Expr::Or))
    }

    /// Parts side by side; nothing if there is none.
    fn conjunction(&mut self, depth: usize) -> Result<Option<Expr>, QueryError> {
        let mut parts = Vec::new();
        let mut and_column = None;
        let mut anything = false;
        while let Some(token) = self.peek() {
            let column = token.column;
            match token.kind {
                TokenKind::Close | TokenKind::Or => break,
                TokenKind::And => {
                    if !anything || and_column.is_some() {
                        return Err(QueryErrorKind::MissingOperand("AND").at(column));
                    }
                    and_column = Some(column);
                    self.at += 1;
                }
                _ => {
                    if let Some(part) = self.operand(depth)? {
                        flatten_and(part, &mut parts);
                    }
                    anything = true;
                    and_column = None;
                }
            }
        }
        match and_column {
            Some(column) => Err(QueryErrorKind::MissingOperand("AND").at(column)),
            None => Ok(joined(parts, Expr::And)),
        }
    }

    /// A negation, a group or a term; nothing if it was about the query as a whole.
    fn operand(&mut self, depth: usize) -> Result<Option<Expr>, QueryError> {
        let Some(Token { column, kind }) = self.take() else {
            return Ok(None);
        };
        if depth > DEPTH_MAX {
            return Err(QueryErrorKind::TooDeep.at(column));
        }
        match kind {
            TokenKind::Not => self.negation(column, depth).map(Some),
            TokenKind::Open => self.group(column, depth).map(Some),
            TokenKind::Text(pattern) => {
                let term = value::text(pattern, column)?;
                self.count(column)?;
                Ok(Some(Expr::Term(term)))
            }
            TokenKind::Keyed {
                key,
                operator,
                value,
            } => {
                self.count(column)?;
                match value::keyed(key, operator, value, column)? {
                    Item::Term(term) => Ok(Some(Expr::Term(term))),
                    item => self.set(item, column, depth).map(|()| None),
                }
            }
            TokenKind::And | TokenKind::Or | TokenKind::Close => {
                unreachable!("a conjunction ends before these")
            }
        }
    }

    fn negation(&mut self, column: usize, depth: usize) -> Result<Expr, QueryError> {
        let missing = QueryErrorKind::MissingOperand("NOT").at(column);
        match self.peek().map(|token| &token.kind) {
            None | Some(TokenKind::And | TokenKind::Or | TokenKind::Close) => return Err(missing),
            Some(_) => {}
        }
        match self.operand(depth + 1)? {
            Some(Expr::Not(inner)) => Ok(*inner),
            Some(inner) => Ok(Expr::Not(Box::new(inner))),
            None => Err(missing),
        }
    }

    fn group(&mut self, column: usize, depth: usize) -> Result<Expr, QueryError> {
        let inner = self.alternatives(depth + 1)?;
        match self.take().map(|token| token.kind) {
            Some(TokenKind::Close) => inner.ok_or_else(|| QueryErrorKind::EmptyGroup.at(column)),
            _ => Err(QueryErrorKind::UnclosedParenthesis.at(column)),
        }
    }

    fn count(&mut self, column: usize) -> Result<(), QueryError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(QueryErrorKind::TooManyTerms.at(column));
        }
        Ok(())
    }

    /// Sets what concerns the whole query, once.
    fn set(&mut self, item: Item, column: usize, depth: usize) -> Result<(), QueryError> {
        let (name, taken) = match &item {
            Item::Term(_) => return Ok(()),
            Item::Within(_) => ("in:", self.query.within != Within::Live),
            Item::Library(_) => ("library:", self.query.library.is_some()),
            Item::Sort(_) => ("sort:", self.query.sort.is_some()),
        };
        if depth > 0 {
            return Err(QueryErrorKind::Misplaced(name).at(column));
        }
        if taken {
            return Err(QueryErrorKind::Repeated(name).at(column));
        }
        match item {
            Item::Term(_) => {}
            Item::Within(within) => self.query.within = within,
            Item::Library(library) => self.query.library = Some(library),
            Item::Sort(sort) => self.query.sort = Some(sort),
        }
        Ok(())
    }
}

pub(super) fn flatten_and(part: Expr, parts: &mut Vec<Expr>) {
    match part {
        Expr::And(inner) => parts.extend(inner),
        other => parts.push(other),
    }
}

pub(super) fn flatten_or(part: Expr, parts: &mut Vec<Expr>) {
    match part {
        Expr::Or(inner) => parts.extend(inner),
        other => parts.push(other),
    }
}

/// One part stands for itself.
pub(super) fn joined(mut parts: Vec<Expr>, join: fn(Vec<Expr>) -> Expr) -> Option<Expr> {
    match parts.len() {
        0 | 1 => parts.pop(),
        _ => Some(join(parts)),
    }
}
