//! An XMP packet as a flat list of properties, however its XML is nested.
//!
//! XMP is RDF, and RDF can say the same thing in many ways: as an attribute, as an element, in a list, in a list of
//! alternatives. What counts is the way of names from the packet to a text with everything that is only RDF's own
//! left out, so that `dc:subject` has as many values as its list has entries. Prefixes are whatever the writer liked;
//! here they are ours, by namespace.
//!
//! A stranger wrote it, so everything is counted: bytes, depth, names, values. No entity is ever defined or expanded
//! apart from the five that XML is born with.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// The longest packet that is read. Those with a long history of edits have some hundred kilobytes.
pub(crate) const PACKET_BYTES_MAX: usize = 1 << 20;
/// Elements within elements.
const DEPTH_MAX: usize = 32;
/// Elements, attributes and texts together: what bounds the time.
const EVENTS_MAX: usize = 50_000;
/// Namespaces that one element may declare.
const DECLARATIONS_MAX: usize = 64;
/// The longest text of one value; the rest is cut off.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Values kept.
const VALUES_MAX: usize = 4096;

/// Namespaces and what we call them. An empty name is left out of the way to a value.
const NAMESPACES: &[(&str, &str)] = &[
    ("http://www.w3.org/1999/02/22-rdf-syntax-ns#", ""),
    ("adobe:ns:meta/", ""),
    ("http://purl.org/dc/elements/1.1/", "dc"),
    ("http://ns.adobe.com/xap/1.0/", "xmp"),
    ("http://ns.adobe.com/exif/1.0/", "exif"),
    ("http://cipa.jp/exif/1.0/", "exifEX"),
    ("http://ns.adobe.com/exif/1.0/aux/", "aux"),
    ("http://ns.adobe.com/tiff/1.0/", "tiff"),
    ("http://ns.adobe.com/photoshop/1.0/", "photoshop"),
    ("http://ns.adobe.com/lightroom/1.0/", "lr"),
    ("http://www.digikam.org/ns/1.0/", "digiKam"),
    ("http://ns.microsoft.com/photo/1.0/", "MicrosoftPhoto"),
    ("http://ns.microsoft.com/photo/1.0", "MicrosoftPhoto"),
    ("http://ns.microsoft.com/photo/1.2/", "MP"),
    ("http://ns.microsoft.com/photo/1.2/t/RegionInfo#", "MPRI"),
    ("http://ns.microsoft.com/photo/1.2/t/Region#", "MPReg"),
    (
        "http://www.metadataworkinggroup.com/schemas/regions/",
        "mwg-rs",
    ),
    (
        "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
        "Iptc4xmpCore",
    ),
    ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "Iptc4xmpExt"),
];

/// One value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// The way to it: `dc:subject`, `mwg-rs:Regions/mwg-rs:RegionList/mwg-rs:Name`.
    pub(crate) way: String,
    /// Which entry of the outermost list it stands in, counted over the whole packet; 0 outside lists.
    pub(crate) entry: usize,
    /// Its text, trimmed, never empty.
    pub(crate) text: String,
}

/// What a packet says.
#[derive(Debug, Default)]
pub(crate) struct Packet {
    values: Vec<Value>,
    /// True if it could not be read to its end.
    pub(crate) broken: bool,
}

impl Packet {
    /// Reads a packet, as far as it can be read.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes.get(..PACKET_BYTES_MAX).unwrap_or(bytes));
        let mut walk = Walk::default();
        walk.packet.broken = bytes.len() > PACKET_BYTES_MAX || walk.run(&text).is_none();
        walk.packet
    }

    /// The texts of a property.
    pub(crate) fn all<'a>(&'a self, way: &'a str) -> impl Iterator<Item = &'a str> {
        self.values_of(way).map(|value| value.text.as_str())
    }

    /// The first text of a property: of alternatives in several languages the default, which stands first.
    pub(crate) fn first(&self, way: &str) -> Option<&str> {
        let found = self.values.iter().find(|value| value.way == way);
        found.map(|value| value.text.as_str())
    }

    /// The values of a property.
    pub(crate) fn values_of<'a>(&'a self, way: &'a str) -> impl Iterator<Item = &'a Value> {
        self.values.iter().filter(move |value| value.way == way)
    }
}

/// One open element.
struct Open {
    /// How long the way was before it.
    way_len: usize,
    /// True for a list's entry.
    is_entry: bool,
}

#[derive(Default)]
struct Walk {
    packet: Packet,
    open: Vec<Open>,
    way: String,
    text: String,
    /// Entries of lists that are open now, within one another.
    entries_open: usize,
    /// Entries of outermost lists so far.
    entries: usize,
    events: usize,
}

impl Walk {
    /// Goes through the packet; nothing if it breaks off.
    fn run(&mut self, text: &str) -> Option<()> {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        reader
            .resolver_mut()
            .set_max_declarations_per_element(DECLARATIONS_MAX);
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => self.start(&reader, &start)?,
                Event::End(_) => self.end(),
                Event::Text(text) => self.push(&text.decode().ok()?),
                Event::CData(text) => self.push(&text.decode().ok()?),
                Event::GeneralRef(reference) => self.push(&character(&reference)),
                Event::Eof => return self.open.is_empty().then_some(()),
                _ => {}
            }
            self.count()?;
        }
    }

    fn count(&mut self) -> Option<()> {
        self.events += 1;
        (self.events <= EVENTS_MAX).then_some(())
    }

    fn start(&mut self, reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Option<()> {
        let (namespace, local) = reader.resolver().resolve_element(start.name());
        let local = str::from_utf8(local.into_inner()).ok()?;
        let prefix = prefix(&namespace);
        let is_entry = prefix == Some("") && local == "li";
        self.open.push(Open {
            way_len: self.way.len(),
            is_entry,
        });
        if self.open.len() > DEPTH_MAX {
            return None;
        }
        if is_entry {
            self.entries += usize::from(self.entries_open == 0);
            self.entries_open += 1;
        }
        lengthen(&mut self.way, prefix, local);
        self.text.clear();
        for attribute in start.attributes().with_checks(false) {
            self.count()?;
            self.attribute(reader, &attribute.ok()?);
        }
        Some(())
    }

    /// An attribute of a property or of RDF's own elements is a property too. Declarations and languages are not.
    fn attribute(&mut self, reader: &NsReader<&[u8]>, attribute: &Attribute<'_>) -> Option<()> {
        let (namespace, local) = reader.resolver().resolve_attribute(attribute.key);
        let prefix = prefix(&namespace).filter(|prefix| !prefix.is_empty())?;
        let local = str::from_utf8(local.into_inner()).ok()?;
        let text = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
        let len = self.way.len();
        lengthen(&mut self.way, Some(prefix), local);
        self.keep(&text);
        self.way.truncate(len);
        Some(())
    }

    fn push(&mut self, text: &str) {
        let room = TEXT_BYTES_MAX.saturating_sub(self.text.len());
        self.text.push_str(cut(text, room));
    }

    fn end(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.keep(&text);
        if let Some(open) = self.open.pop() {
            self.way.truncate(open.way_len);
            self.entries_open -= usize::from(open.is_entry);
        }
    }

    fn keep(&mut self, text: &str) {
        let text = cut(text.trim(), TEXT_BYTES_MAX);
        let known = !self.way.is_empty() && !self.way.contains('?');
        if text.is_empty() || !known || self.packet.values.len() == VALUES_MAX {
            return;
        }
        self.packet.values.push(Value {
            way: self.way.clone(),
            entry: if self.entries_open > 0 {
                self.entries
            } else {
                0
            },
            text: text.to_owned(),
        });
    }
}

/// Our name for a namespace; nothing for one that is not known.
fn prefix(namespace: &ResolveResult<'_>) -> Option<&'static str> {
    let ResolveResult::Bound(namespace) = namespace else {
        return None;
    };
    NAMESPACES
        .iter()
        .find(|(uri, _)| uri.as_bytes() == namespace.as_ref())
        .map(|(_, prefix)| *prefix)
}

/// Adds a name to a way. What is not known leaves a mark, so that nothing below it is kept.
fn lengthen(way: &mut String, prefix: Option<&str>, local: &str) {
    let name: Cow<'_, str> = match prefix {
        Some("") => return,
        Some(prefix) => format!("{prefix}:{local}").into(),
        None => "?".into(),
    };
    if !way.is_empty() {
        way.push('/');
    }
    way.push_str(cut(&name, 100));
}

/// The character behind `&…;`. A name that XML does not know itself stands for nothing.
fn character(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return c.to_string();
    }
    let text = match reference.as_ref() {
        b"lt" => "<",
        b"gt" => ">",
        b"amp" => "&",
        b"quot" => "\"",
        b"apos" => "'",
        _ => "",
    };
    text.to_owned()
}

/// At most `bytes_max` bytes of a text, whole letters only.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::*;

    fn packet(body: &str) -> Packet {
        Packet::read(
            format!(
                "<?xpacket begin='\u{feff}' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>\
                 <r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:d='http://purl.org/dc/elements/1.1/' \
                 xmlns:xap='http://ns.adobe.com/xap/1.0/' xmlns:own='urn:own'><r:Description r:about='' {body}\
                 </r:Description></r:RDF></x:xmpmeta><?xpacket end='w'?>"
            )
            .as_bytes(),
        )
    }

    #[test]
    fn a_property_is_the_same_as_attribute_and_as_element() {
        for body in ["xap:Rating=' 4'>", "><xap:Rating>4\n</xap:Rating>"] {
            let packet = packet(body);
            assert_eq!(packet.first("xmp:Rating"), Some("4"), "{body}");
            assert!(!packet.broken);
        }
    }

    #[test]
    fn a_list_gives_its_entries_in_order_with_their_characters() {
        let packet = packet(
            "><d:subject><r:Bag><r:li>a &amp; b</r:li><r:li>&#x1F600;&undefined;</r:li>\
             <r:li><![CDATA[<c>]]></r:li><r:li/></r:Bag></d:subject>",
        );
        let subjects: Vec<&str> = packet.all("dc:subject").collect();
        assert_eq!(subjects, ["a & b", "\u{1F600}", "<c>"]);
        let entries: Vec<usize> = packet.values_of("dc:subject").map(|v| v.entry).collect();
        assert_eq!(entries, [1, 2, 3]);
    }

    #[test]
    fn what_is_not_known_is_left_out_with_all_that_is_in_it() {
        let packet = packet("own:x='1'><own:y><d:title>no</d:title></own:y><d:title>yes</d:title>");
        assert_eq!(packet.all("dc:title").collect::<Vec<_>>(), ["yes"]);
        assert_eq!(packet.values.len(), 1);
    }

    #[test]
    fn entities_are_not_defined_and_nothing_grows() {
        let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>\
             <r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:d='http://purl.org/dc/elements/1.1/'>\
             <d:title>&b;&b;x</d:title></r:RDF>";
        let packet = Packet::read(bomb.as_bytes());
        assert_eq!(packet.first("dc:title"), Some("x"));
    }

    #[test]
    fn depth_number_and_length_are_bounded() {
        let deep = "<a>".repeat(100_000);
        assert!(Packet::read(deep.as_bytes()).broken);
        let wide = packet(&format!(">{}", "<d:title>x</d:title>".repeat(40_000)));
        assert!(wide.broken && wide.values.len() == VALUES_MAX);
        let long = packet(&format!("><d:title>{}</d:title>", "ü".repeat(30_000)));
        assert_eq!(long.first("dc:title").unwrap().len(), TEXT_BYTES_MAX);
        let many: String = (0..20_000).map(|n| format!(" xap:a{n}='1'")).collect();
        assert_eq!(packet(&format!("{many}>")).values.len(), VALUES_MAX);
    }

    #[test]
    fn a_packet_that_breaks_off_gives_what_came_before() {
        let packet = Packet::read(
            b"<d:title xmlns:d='http://purl.org/dc/elements/1.1/'>whole</d:title><d:description>half",
        );
        assert_eq!(packet.first("dc:title"), Some("whole"));
        assert!(packet.broken);
    }
}
