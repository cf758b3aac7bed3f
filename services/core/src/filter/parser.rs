//! Tokens to a filter, by recursive descent. The depth is bounded, so is the stack.

use unicode_normalization::UnicodeNormalization as _;

use super::ast::{Field, Filter, Literal, LiteralKind, Op, Pattern};
use super::error::FilterError;
use super::lexer::{Quoted, Star, Token, TokenKind, tokens};
use super::{MAX_BYTES, MAX_DEPTH, MAX_TERMS};
use crate::value::Value;

/// Reads a filter. Empty text is [`Filter::True`].
///
/// # Errors
/// What was expected and at which column; also when a filter is over the limits [`MAX_BYTES`], [`MAX_DEPTH`],
/// [`MAX_TERMS`].
pub fn parse(source: &str) -> Result<Filter, FilterError> {
    if source.len() > MAX_BYTES {
        let size = source.len();
        return Err(FilterError::new(
            1,
            format!("filter has {size} bytes, at most {MAX_BYTES} are allowed"),
        ));
    }
    let tokens = tokens(source)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
        terms: 0,
    };
    if parser.peek() == &TokenKind::End {
        return Ok(Filter::True);
    }
    let filter = parser.expression()?;
    match parser.peek() {
        TokenKind::End => Ok(filter),
        TokenKind::RightParen => Err(parser.error(r#"unexpected ")" without "(""#)),
        _ => Err(parser.expected_connective()),
    }
}

struct Parser<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
    depth: usize,
    terms: usize,
}

impl<'t, 'a> Parser<'t, 'a> {
    fn peek(&self) -> &'t TokenKind<'a> {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &'t TokenKind<'a> {
        self.tokens
            .get(self.at + ahead)
            .map_or(&TokenKind::End, |token| &token.kind)
    }

    /// Column of the token that is next.
    fn column(&self) -> usize {
        let token = self.tokens.get(self.at).or_else(|| self.tokens.last());
        token.map_or(1, |token| token.column)
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    fn skip(&mut self, kind: &TokenKind<'_>) -> bool {
        let found = self.peek() == kind;
        if found {
            self.advance();
        }
        found
    }

    fn error(&self, message: impl Into<String>) -> FilterError {
        FilterError::new(self.column(), message)
    }

    /// `factor { [AND] factor }`
    fn expression(&mut self) -> Result<Filter, FilterError> {
        let mut parts = Vec::new();
        loop {
            match self.factor()? {
                Filter::And(inner) => parts.extend(inner),
                part => parts.push(part),
            }
            if self.skip(&TokenKind::And) {
                continue;
            }
            if !self.starts_factor() {
                return Ok(single_or(parts, Filter::And));
            }
            self.refuse_lower_case()?;
        }
    }

    /// `term { OR term }`
    fn factor(&mut self) -> Result<Filter, FilterError> {
        let mut parts = Vec::new();
        loop {
            match self.term()? {
                Filter::Or(inner) => parts.extend(inner),
                part => parts.push(part),
            }
            if !self.skip(&TokenKind::Or) {
                return Ok(single_or(parts, Filter::Or));
            }
        }
    }

    /// `[NOT | -] ( comparison | "(" expression ")" )`
    fn term(&mut self) -> Result<Filter, FilterError> {
        match self.peek() {
            TokenKind::Not | TokenKind::Minus => {
                self.advance();
                if matches!(self.peek(), TokenKind::Not | TokenKind::Minus) {
                    return Err(self.error("expected a comparison after NOT"));
                }
                let inner = self.nested(Self::term)?;
                Ok(Filter::Not(Box::new(inner)))
            }
            TokenKind::LeftParen => {
                let open = self.column();
                self.advance();
                let inner = self.nested(Self::expression)?;
                match self.peek() {
                    TokenKind::RightParen => self.advance(),
                    TokenKind::End => {
                        return Err(FilterError::new(open, r#"missing the closing ")""#));
                    }
                    _ => return Err(self.expected_connective()),
                }
                Ok(inner)
            }
            _ => self.comparison(),
        }
    }

    fn nested(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<Filter, FilterError>,
    ) -> Result<Filter, FilterError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let filter = inner(self);
        self.depth -= 1;
        filter
    }

    fn comparison(&mut self) -> Result<Filter, FilterError> {
        let field = self.field()?;
        self.terms += 1;
        if self.terms > MAX_TERMS {
            let message = format!("more than {MAX_TERMS} comparisons");
            return Err(FilterError::new(field.column, message));
        }
        let TokenKind::Operator(op) = *self.peek() else {
            return Err(self.expected_operator(&field));
        };
        self.advance();
        let value = self.literal(op)?;
        Ok(Filter::Compare { field, op, value })
    }

    fn field(&mut self) -> Result<Field, FilterError> {
        let column = self.column();
        let mut path = Vec::new();
        loop {
            let part = match self.peek() {
                TokenKind::Word(word) => word.nfc().collect(),
                TokenKind::Quoted(quoted) if quoted.text.is_empty() => {
                    return Err(self.error("a field's name is empty"));
                }
                TokenKind::Quoted(quoted) => quoted.text.nfc().collect(),
                // As AIP-160 has it, a keyword may name a part of a field, but not start one.
                TokenKind::And if !path.is_empty() => "AND".to_owned(),
                TokenKind::Or if !path.is_empty() => "OR".to_owned(),
                TokenKind::Not if !path.is_empty() => "NOT".to_owned(),
                _ if path.is_empty() => return Err(self.expected_comparison()),
                _ => return Err(self.error(r#"expected a field's name after ".""#)),
            };
            path.push(part);
            self.advance();
            if !self.skip(&TokenKind::Dot) {
                return Ok(Field { path, column });
            }
        }
    }

    fn literal(&mut self, op: Op) -> Result<Literal, FilterError> {
        let column = self.column();
        let literal = match self.peek() {
            TokenKind::Word(word) => bare(word, op, column)?,
            TokenKind::Quoted(quoted) => text(quoted, op, column)?,
            TokenKind::LeftParen => {
                return Err(self.error(
                    "expected one value, not a list: repeat the field, as in (a = 1 OR a = 2)",
                ));
            }
            _ => return Err(self.error(format!("expected a value after {:?}", op.as_str()))),
        };
        self.advance();
        Ok(literal)
    }

    fn starts_factor(&self) -> bool {
        matches!(
            self.peek(),
            TokenKind::Word(_)
                | TokenKind::Quoted(_)
                | TokenKind::Not
                | TokenKind::Minus
                | TokenKind::LeftParen
        )
    }

    /// `a = 1 and b = 2`: not a field called "and".
    fn refuse_lower_case(&self) -> Result<(), FilterError> {
        let TokenKind::Word(word) = self.peek() else {
            return Ok(());
        };
        let upper = word.to_ascii_uppercase();
        let field = matches!(self.peek_at(1), TokenKind::Operator(_) | TokenKind::Dot);
        if field || !super::lexer::is_keyword(&upper) {
            return Ok(());
        }
        Err(self.error(format!("write {upper} in capitals")))
    }

    fn expected_comparison(&self) -> FilterError {
        let after = self
            .at
            .checked_sub(1)
            .and_then(|before| self.tokens.get(before));
        let place = match after.map(|token| &token.kind) {
            Some(TokenKind::And) => " after AND",
            Some(TokenKind::Or) => " after OR",
            Some(TokenKind::Not | TokenKind::Minus) => " after NOT",
            Some(TokenKind::LeftParen) => r#" after "(""#,
            _ => "",
        };
        self.error(format!(
            "expected a comparison{place}, such as state = READY"
        ))
    }

    fn expected_operator(&self, field: &Field) -> FilterError {
        if self.peek() == &TokenKind::LeftParen {
            let message = format!("unknown function \"{field}\": filters have no functions");
            return FilterError::new(field.column, message);
        }
        self.error(format!("expected one of = != < <= > >= : after {field}"))
    }

    fn expected_connective(&self) -> FilterError {
        match self.peek() {
            TokenKind::Operator(op) => self.error(format!(
                "unexpected {:?}: expected AND, OR or the end after a comparison",
                op.as_str()
            )),
            TokenKind::Comma => {
                self.error(r#"unexpected ",": write AND or OR, or put the value in quotes"#)
            }
            TokenKind::Dot => self.error(r#"unexpected ".": put the value in quotes"#),
            _ => self.error("expected AND, OR or the end after a comparison"),
        }
    }
}

fn single_or(mut parts: Vec<Filter>, many: impl FnOnce(Vec<Filter>) -> Filter) -> Filter {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => Filter::True,
    }
}

/// A value without quotes, typed as in a metadata file.
fn bare(word: &str, op: Op, column: usize) -> Result<Literal, FilterError> {
    let kind = match Value::infer(word) {
        Value::Number(number) => LiteralKind::Number(number),
        Value::Boolean(_) if op.is_ordering() => {
            let message = format!("{word} has no order: write = or !=");
            return Err(FilterError::new(column, message));
        }
        Value::Boolean(boolean) => LiteralKind::Boolean(boolean),
        Value::Timestamp(instant) => LiteralKind::Timestamp(instant),
        // `a = AND b = 2`: the value was forgotten.
        Value::Text(text) if super::lexer::is_keyword(&text) => {
            let message = format!("expected a value after {:?}", op.as_str());
            return Err(FilterError::new(column, message));
        }
        Value::Text(_) => {
            let stars = word.char_indices().enumerate();
            let stars = stars.filter(|(_, (_, char))| *char == '*');
            let quoted = Quoted {
                text: word.to_owned(),
                stars: stars
                    .map(|(chars, (byte, _))| Star {
                        byte,
                        column: column + chars,
                    })
                    .collect(),
            };
            return text(&quoted, op, column);
        }
    };
    Ok(Literal {
        kind,
        text: word.to_owned(),
        column,
    })
}

/// A text, or a pattern where the operator takes one.
fn text(quoted: &Quoted, op: Op, column: usize) -> Result<Literal, FilterError> {
    let takes_pattern = match op {
        Op::Eq | Op::Ne => !quoted.stars.is_empty(),
        Op::Has => quoted.text == "*" && !quoted.stars.is_empty(),
        _ => false,
    };
    let kind = if takes_pattern {
        LiteralKind::Pattern(pattern(quoted)?)
    } else {
        LiteralKind::Text(quoted.text.clone())
    };
    Ok(Literal {
        kind,
        text: quoted.text.clone(),
        column,
    })
}

fn pattern(quoted: &Quoted) -> Result<Pattern, FilterError> {
    let last = quoted.text.len().saturating_sub(1);
    let inner = quoted
        .stars
        .iter()
        .find(|star| star.byte != 0 && star.byte != last);
    if let Some(star) = inner {
        return Err(FilterError::new(
            star.column,
            r#""*" may stand at the start and end of a text only: write "\*" for the character itself"#,
        ));
    }
    let open_start = quoted.stars.iter().any(|star| star.byte == 0);
    let open_end = quoted.stars.iter().any(|star| star.byte == last);
    let text = quoted.text.as_str();
    let text = text.get(usize::from(open_start)..).unwrap_or("");
    let text = match text.len().checked_sub(1) {
        Some(end) if open_end => text.get(..end).unwrap_or(""),
        _ => text,
    };
    Ok(Pattern {
        text: text.to_owned(),
        open_start,
        open_end,
    })
}
