//! The little of XML that gateways need: elements and their text, in order.
//!
//! Bounded in length and depth. A document type is refused, and with it every entity but the five
//! that XML itself has: nothing is expanded, nothing is fetched. Does not recurse.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::limits::{XML_DEPTH_MAX, XML_LENGTH_MAX};

/// Why a document cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// More than a gateway has to say.
    #[error("{0} bytes of XML, more than {XML_LENGTH_MAX}")]
    TooLong(usize),
    /// Elements in elements in elements.
    #[error("XML nested deeper than {XML_DEPTH_MAX}")]
    TooDeep,
    /// A document type, or an entity that one would have to define.
    #[error("XML with entities of its own")]
    Entities,
    /// No XML.
    #[error("not XML")]
    Malformed,
}

/// What is met in a document. Names come without their prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark<'a> {
    /// An element begins.
    Open(&'a str),
    /// It ends; what text stood in it, trimmed, since the last mark.
    Close(&'a str, &'a str),
}

/// Shows every mark of a document.
pub(super) fn read(bytes: &[u8], mut show: impl FnMut(Mark<'_>)) -> Result<(), XmlError> {
    if bytes.len() > XML_LENGTH_MAX {
        return Err(XmlError::TooLong(bytes.len()));
    }
    let document = String::from_utf8_lossy(bytes);
    let mut reader = Reader::from_str(&document);
    let (mut text, mut depth, mut elements) = (String::new(), 0, 0);
    loop {
        match reader.read_event().map_err(|_| XmlError::Malformed)? {
            Event::Start(element) => {
                depth += 1;
                elements += 1;
                if depth > XML_DEPTH_MAX {
                    return Err(XmlError::TooDeep);
                }
                text.clear();
                show(Mark::Open(element.local_name().as_ref()));
            }
            Event::End(element) => {
                depth -= 1;
                show(Mark::Close(element.local_name().as_ref(), text.trim()));
                text.clear();
            }
            Event::Empty(element) => {
                elements += 1;
                text.clear();
                show(Mark::Open(element.local_name().as_ref()));
                show(Mark::Close(element.local_name().as_ref(), ""));
            }
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(name) => text.push(entity(&name)?),
            Event::DocType(_) => return Err(XmlError::Entities),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof if depth == 0 && elements > 0 => return Ok(()),
            Event::Eof => return Err(XmlError::Malformed),
        }
    }
}

/// Source: XML 1.0, 4.6 and 4.1.
fn entity(name: &str) -> Result<char, XmlError> {
    let number = |text, radix| {
        let number = u32::from_str_radix(text, radix).ok();
        number.and_then(char::from_u32).ok_or(XmlError::Malformed)
    };
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => match name.strip_prefix('#') {
            Some(hex) if hex.starts_with('x') => number(&hex[1..], 16),
            Some(decimal) => number(decimal, 10),
            None => Err(XmlError::Entities),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn closes(document: &str) -> Result<Vec<(String, String)>, XmlError> {
        let mut found = Vec::new();
        read(document.as_bytes(), |mark| {
            if let Mark::Close(name, text) = mark {
                found.push((name.to_owned(), text.to_owned()));
            }
        })?;
        Ok(found)
    }

    fn check(document: &str, expect: &[(&str, &str)]) {
        let found = closes(document).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(n, t)| (n.as_str(), t.as_str()))
            .collect();
        assert_eq!(found, expect, "{document}");
    }

    #[test]
    fn text_is_that_of_the_innermost_element() {
        check(
            "<?xml version='1.0'?><a> <b>x &amp; &#65;&#x42;</b> <c/> </a>",
            &[("b", "x & AB"), ("c", ""), ("a", "")],
        );
        check(
            "<s:a xmlns:s='u'><![CDATA[<raw>]]><!-- no --></s:a>",
            &[("a", "<raw>")],
        );
    }

    #[test]
    fn what_could_grow_or_fetch_is_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY x 'xx'>]><a>&x;</a>";
        assert_eq!(closes(bomb), Err(XmlError::Entities));
        assert_eq!(closes("<a>&x;</a>"), Err(XmlError::Entities));
        let deep = "<a>".repeat(XML_DEPTH_MAX + 1);
        assert_eq!(closes(&deep), Err(XmlError::TooDeep));
        let long = " ".repeat(XML_LENGTH_MAX + 1);
        assert_eq!(closes(&long), Err(XmlError::TooLong(XML_LENGTH_MAX + 1)));
    }

    #[test]
    fn what_is_no_document_is_malformed() {
        for document in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "</a>",
            "<a>&#xd800;</a>",
            "<a>&#;</a>",
        ] {
            assert_eq!(closes(document), Err(XmlError::Malformed), "{document}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(
            bytes in vec(any::<u8>(), 0..300),
            text in "[<>/a&;#x!\\[ -]{0,60}",
        ) {
            let _ = read(&bytes, |_| {});
            let _ = read(text.as_bytes(), |_| {});
        }
    }
}
