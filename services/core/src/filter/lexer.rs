//! Text to tokens.
//!
//! After an operator a bare word may hold nearly anything (`2021-02-28T16:12:21Z`, `image/png`, `-3`), elsewhere it
//! is a part of a field's name: the lexer reads by what came before.

use unicode_normalization::char::is_combining_mark;

use super::ast::Op;
use super::error::FilterError;

/// A token and its column, counted in characters from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind<'a>,
    pub(super) column: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind<'a> {
    LeftParen,
    RightParen,
    Comma,
    Dot,
    /// `-` before a term.
    Minus,
    Operator(Op),
    And,
    Or,
    Not,
    Word(&'a str),
    Quoted(Quoted),
    End,
}

/// A text in quotes with its escapes resolved.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Quoted {
    pub(super) text: String,
    /// The wildcards: `*` without a backslash.
    pub(super) stars: Vec<Star>,
}

/// A wildcard: its byte in the resolved text, and its column in the filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Star {
    pub(super) byte: usize,
    pub(super) column: usize,
}

/// Splits a filter in tokens; the last one is `End`, placed just after the last character that says something.
pub(super) fn tokens(source: &str) -> Result<Vec<Token<'_>>, FilterError> {
    let mut lexer = Lexer {
        rest: source,
        column: 1,
        last: 0,
    };
    let mut tokens = Vec::new();
    let mut after_operator = false;
    while let Some(token) = lexer.next(after_operator)? {
        after_operator = matches!(token.kind, TokenKind::Operator(_));
        lexer.last = lexer.column - 1;
        tokens.push(token);
    }
    tokens.push(Token {
        kind: TokenKind::End,
        column: lexer.last + 1,
    });
    Ok(tokens)
}

/// Whether `text` can stand as a part of a field without quotes.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_field_char)
}

/// Whether `text` is `AND`, `OR` or `NOT`.
pub(super) fn is_keyword(text: &str) -> bool {
    matches!(text, "AND" | "OR" | "NOT")
}

fn is_field_char(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '-') || is_combining_mark(char)
}

fn is_value_char(char: char) -> bool {
    !char.is_whitespace()
        && !char.is_control()
        && !matches!(char, '(' | ')' | '"' | '\'' | ',' | '=' | '<' | '>' | '!')
}

struct Lexer<'a> {
    rest: &'a str,
    column: usize,
    /// Column of the last character of the last token.
    last: usize,
}

impl<'a> Lexer<'a> {
    fn next(&mut self, after_operator: bool) -> Result<Option<Token<'a>>, FilterError> {
        self.skip_whitespace();
        let column = self.column;
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        let kind = match first {
            '(' => self.single(TokenKind::LeftParen),
            ')' => self.single(TokenKind::RightParen),
            ',' => self.single(TokenKind::Comma),
            '"' | '\'' => TokenKind::Quoted(self.quoted(first)?),
            '=' | '<' | '>' | '!' => self.operator()?,
            char if after_operator && is_value_char(char) => {
                TokenKind::Word(self.take_while(is_value_char))
            }
            '.' => self.single(TokenKind::Dot),
            '-' => self.single(TokenKind::Minus),
            ':' => self.single(TokenKind::Operator(Op::Has)),
            char if is_field_char(char) => keyword(self.take_while(is_field_char)),
            char => return Err(unexpected(char, self.rest, column)),
        };
        Ok(Some(Token { kind, column }))
    }

    fn skip_whitespace(&mut self) {
        self.take_while(char::is_whitespace);
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self
            .rest
            .find(|char| !wanted(char))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.column += taken.chars().count();
        taken
    }

    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let char = chars.next()?;
        self.rest = chars.as_str();
        self.column += 1;
        Some(char)
    }

    fn single(&mut self, kind: TokenKind<'a>) -> TokenKind<'a> {
        self.take();
        kind
    }

    fn operator(&mut self) -> Result<TokenKind<'a>, FilterError> {
        let column = self.column;
        let written = self.take_while(|char| matches!(char, '=' | '<' | '>' | '!'));
        let op = match written {
            "=" => Op::Eq,
            "!=" => Op::Ne,
            "<" => Op::Lt,
            "<=" => Op::Le,
            ">" => Op::Gt,
            ">=" => Op::Ge,
            _ => return Err(unknown_operator(written, column)),
        };
        Ok(TokenKind::Operator(op))
    }

    fn quoted(&mut self, quote: char) -> Result<Quoted, FilterError> {
        let start = self.column;
        self.take();
        let mut quoted = Quoted::default();
        loop {
            let column = self.column;
            let char = self
                .take()
                .ok_or_else(|| FilterError::new(start, format!("missing the closing {quote}")))?;
            match char {
                char if char == quote => return Ok(quoted),
                '\\' => quoted.text.push(self.escape(column)?),
                '*' => {
                    let byte = quoted.text.len();
                    quoted.stars.push(Star { byte, column });
                    quoted.text.push('*');
                }
                char => quoted.text.push(char),
            }
        }
    }

    fn escape(&mut self, column: usize) -> Result<char, FilterError> {
        match self.take() {
            Some(char @ ('"' | '\'' | '\\' | '*')) => Ok(char),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            _ => Err(FilterError::new(
                column,
                r#"unknown escape: expected one of \" \' \\ \* \n \r \t"#,
            )),
        }
    }
}

fn keyword(word: &str) -> TokenKind<'_> {
    match word {
        "AND" => TokenKind::And,
        "OR" => TokenKind::Or,
        "NOT" => TokenKind::Not,
        _ => TokenKind::Word(word),
    }
}

fn unknown_operator(written: &str, column: usize) -> FilterError {
    let instead = match written {
        "==" | "===" => r#"write "=""#,
        "<>" | "!==" | "=!" => r#"write "!=""#,
        "=<" => r#"write "<=""#,
        "=>" => r#"write ">=""#,
        "!" => "write NOT",
        _ => "expected one of = != < <= > >= :",
    };
    // A run of operators can be as long as the filter.
    let shown: String = written.chars().take(8).collect();
    FilterError::new(column, format!("unknown operator {shown:?}: {instead}"))
}

fn unexpected(char: char, rest: &str, column: usize) -> FilterError {
    let message = match char {
        '&' if rest.starts_with("&&") => "unexpected \"&&\": write AND".to_owned(),
        '|' if rest.starts_with("||") => "unexpected \"||\": write OR".to_owned(),
        '~' => r#"unexpected "~": write = with * at the start or end of the text"#.to_owned(),
        char if char.is_control() => format!("unexpected control character {:?}", char),
        char => format!("unexpected {char:?}: put names and values with it in quotes"),
    };
    FilterError::new(column, message)
}
