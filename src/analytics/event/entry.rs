//! Events as an entry of the log.

use uuid::Uuid;

use super::{
    super::{
        codec::{Corrupt, Reader, Writer},
        millionths::Millionths,
        site::SiteName,
    },
    props::Props,
    read::Event,
    refusal::Reason,
    text::{EventName, Text},
};

/// The version of the bytes.
const VERSION: u8 = 1;

/// What an event has beyond the one before it. The first is compared with an event of 1970 without site and name.
mod part {
    pub(super) const SITE: u8 = 1;
    pub(super) const NAME: u8 = 1 << 1;
    pub(super) const USER: u8 = 1 << 2;
    pub(super) const SESSION: u8 = 1 << 3;
    pub(super) const VALUE: u8 = 1 << 4;
    pub(super) const PROPS: u8 = 1 << 5;
    pub(super) const ALL: u8 = (1 << 6) - 1;
}

/// The events of one or more requests, which are appended to the log at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// A random number, by which the store knows that it has stored the entry.
    pub receipt: Uuid,
    /// In the order in which they were accepted.
    pub events: Vec<Event>,
}

impl Entry {
    /// The bytes: version, receipt, number of events, and the events. Of each: what it has, the distance of its time
    /// from the one before, its id, site and name unless they are those of the one before, and what else it has.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.byte(VERSION);
        writer.raw(self.receipt.as_bytes());
        writer.unsigned(self.events.len() as u128);
        let mut before = None;
        for event in &self.events {
            write(&mut writer, event, before);
            before = Some(event);
        }
        writer.into_bytes()
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// They are no entry of this version, or hold an event that would not have been accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader::new(bytes, "an entry of the log");
        reader.version(VERSION)?;
        let receipt = Uuid::from_bytes(reader.array()?);
        let length: usize = reader.unsigned()?;
        let mut events: Vec<Event> = Vec::new();
        for _ in 0..length {
            let event = read(&mut reader, events.last())?;
            events.push(event);
        }
        reader.end()?;
        Ok(Self { receipt, events })
    }
}

fn write(writer: &mut Writer, event: &Event, before: Option<&Event>) {
    let has = |part: u8, is_there: bool| if is_there { part } else { 0 };
    let parts = has(part::SITE, before.is_none_or(|before| before.site != event.site))
        | has(part::NAME, before.is_none_or(|before| before.name != event.name))
        | has(part::USER, event.user.is_some())
        | has(part::SESSION, event.session.is_some())
        | has(part::VALUE, event.value.is_some())
        | has(part::PROPS, !event.props.is_empty());
    writer.byte(parts);
    writer.signed(i128::from(event.ts_ms) - before.map_or(0, |before| before.ts_ms.into()));
    writer.raw(event.id.as_bytes());
    if parts & part::SITE != 0 {
        writer.bytes(event.site.as_str().as_bytes());
    }
    if parts & part::NAME != 0 {
        writer.bytes(event.name.as_str().as_bytes());
    }
    event.user.iter().for_each(|user| writer.bytes(user.as_str().as_bytes()));
    event.session.iter().for_each(|session| writer.bytes(session.as_str().as_bytes()));
    event.value.iter().for_each(|value| writer.signed(value.get()));
    if parts & part::PROPS != 0 {
        event.props.encode(writer);
    }
}

fn read(reader: &mut Reader, before: Option<&Event>) -> Result<Event, Corrupt> {
    let parts = reader.byte()?;
    let corrupt = reader.corrupt();
    if parts & !part::ALL != 0 {
        return Err(corrupt);
    }
    let has = |part: u8| parts & part != 0;
    let distance_ms: i128 = reader.signed()?;
    let ts_ms = distance_ms
        .checked_add(before.map_or(0, |before| before.ts_ms.into()))
        .and_then(|ts_ms| i64::try_from(ts_ms).ok())
        .ok_or(corrupt)?;
    let id = Uuid::from_bytes(reader.array()?);
    let site: SiteName = if has(part::SITE) {
        reader.text()?.parse().map_err(|_| corrupt)?
    } else {
        before.ok_or(corrupt)?.site.clone()
    };
    let name: EventName =
        if has(part::NAME) { read_text(reader)? } else { before.ok_or(corrupt)?.name.clone() };
    let user = if has(part::USER) { Some(read_text(reader)?) } else { None };
    let session = if has(part::SESSION) { Some(read_text(reader)?) } else { None };
    let value = if has(part::VALUE) { Some(Millionths::new(reader.signed()?).ok_or(corrupt)?) } else { None };
    let props = if has(part::PROPS) { Props::decode(reader)? } else { Props::default() };
    Ok(Event { ts_ms, site, id, name, user, session, value, props })
}

fn read_text<const LIMIT_BYTES: usize>(reader: &mut Reader) -> Result<Text<LIMIT_BYTES>, Corrupt> {
    let text = reader.text()?;
    Text::new(text).map_err(|_: Reason| reader.corrupt())
}

#[cfg(test)]
pub(in crate::analytics) mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::{super::props::tests::senders, *};

    /// Events of a few sites and names around the end of November 2026.
    pub(in crate::analytics) fn events(most: usize) -> impl Strategy<Value = Vec<Event>> {
        let text = |most: usize| prop::string::string_regex(&format!("a|[^\x00]{{1,{most}}}")).unwrap();
        let event = (
            (0_i64..200_000_000, prop::sample::select(vec!["default", "shop", "a.b-c_d"]), any::<u128>()),
            (text(32), prop::option::of(text(64)), prop::option::of(text(64))),
            prop::option::of(-1_000_000_000_000_000_000_i64..=1_000_000_000_000_000_000),
            senders(),
        );
        let event = event.prop_map(|((ts, site, id), (name, user, session), value, props)| Event {
            ts_ms: 1_795_000_000_000 + ts,
            site: site.parse().unwrap(),
            id: Uuid::from_u128(id),
            name: Text::new(&name).unwrap(),
            user: user.map(|user| Text::new(&user).unwrap()),
            session: session.map(|session| Text::new(&session).unwrap()),
            value: value.map(|value| Millionths::new(value).unwrap()),
            props: Props::read(Some(serde_json::from_str(&props).unwrap())).unwrap(),
        });
        prop::collection::vec(event, 0..most)
    }

    #[test]
    fn a_page_view_is_short() {
        let event = |id| Event {
            ts_ms: 1_795_000_000_000,
            site: SiteName::default(),
            id: Uuid::from_u128(id),
            name: Text::new("page_view").unwrap(),
            user: Some(Text::new("u-1").unwrap()),
            session: None,
            value: None,
            props: Props::read(Some(serde_json::from_str(r#"{"page":"/"}"#).unwrap())).unwrap(),
        };
        let length = |count: u128| {
            Entry { receipt: Uuid::nil(), events: (0..count).map(event).collect() }.encode().len()
        };
        assert_eq!((length(0), length(1), length(2) - length(1)), (18, 72, 31));
    }

    proptest! {
        #[test]
        fn it_reads_what_it_writes(receipt: u128, events in events(6)) {
            let entry = Entry { receipt: Uuid::from_u128(receipt), events };
            prop_assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }

        #[test]
        fn other_bytes_are_an_error_and_no_panic(mut bytes: Vec<u8>) {
            let _ = Entry::decode(&bytes);
            bytes.splice(0..0, [VERSION].into_iter().chain([0; 16]).chain([3]));
            let _ = Entry::decode(&bytes);
        }

        #[test]
        fn a_damaged_entry_is_an_error_or_another_entry(events in events(4), at: Index, byte: u8, cut: Index) {
            let mut bytes = Entry { receipt: Uuid::nil(), events }.encode();
            prop_assert!(Entry::decode(&bytes[..cut.index(bytes.len())]).is_err());
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(entry) = Entry::decode(&bytes) {
                prop_assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
            }
        }
    }
}
