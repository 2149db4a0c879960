//! Reads and writes the streams of the fleet on one pair of connections, until one of them fails.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::feed::{Completeness, Feed, MessageOrder};
use super::message::{Body, Heartbeat, MAX_ENTRIES, Message};
use super::publisher::Publisher;
use super::redis::{FleetError, Redis};
use super::status::FleetStatus;
use super::stream_length::StreamLength;
use super::{FleetSettings, HEARTBEATS, REVOCATIONS};
use crate::clock::{self, Clock, jitter};
use crate::oauth::UnixTime;
use crate::revocation::{Counts, Origin, Revocations, RevokeError};

/// Messages of one page, of each stream.
const PAGE: usize = 100;
/// Pages that wait to be processed.
const MAX_PAGES: usize = 2;
/// Messages that are written at once.
const BATCH: usize = 16;
/// How long a read waits for something new.
const BLOCK: Duration = Duration::from_secs(1);
/// What a write or a read may take. Not on the path of a request, so longer than `timeout`.
const WAIT: Duration = Duration::from_secs(3);
/// Own heartbeats in a row that may be missing.
const MAX_UNHEARD: usize = 5;
/// Gateways whose clocks differ still read each other's heartbeats, and remove no message early.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
/// After asking in vain for a snapshot.
const READ_AGAIN: Duration = Duration::from_secs(2);
/// Between two heartbeats, when what they say has changed.
const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// All that outlives a connection.
pub(super) struct Session {
    pub(super) feed: Feed,
    pub(super) publisher: Publisher,
    pub(super) position: Position,
    pub(super) length: StreamLength,
    /// Since when it asks for a snapshot and has read nothing.
    pub(super) asks_since: Option<Instant>,
    /// How often it has asked in vain.
    pub(super) unanswered: u32,
    /// Whether messages that were read before come again.
    pub(super) is_rereading: bool,
    pub(super) settings: Arc<FleetSettings>,
    pub(super) status: Arc<FleetStatus>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) clock: Clock,
}

/// How far the streams were read, and the number of the last heartbeat.
#[derive(Clone, Debug)]
pub(super) struct Position {
    messages: String,
    heartbeats: String,
    beat: u64,
}

/// What one read returned.
struct Page {
    messages: Vec<(String, Vec<u8>)>,
    heartbeats: Vec<(String, Vec<u8>)>,
}

impl Default for Position {
    fn default() -> Self {
        let start = || "0-0".to_owned();
        Self {
            messages: start(),
            heartbeats: start(),
            beat: 0,
        }
    }
}

impl Session {
    /// Takes part until a connection fails.
    pub(super) async fn run(&mut self) -> Result<Infallible, FleetError> {
        let key = self.settings.key(REVOCATIONS);
        let mut writer = Redis::connect(&self.settings.redis, &key).await?;
        let reader = Redis::connect(&self.settings.redis, &key).await?;
        self.status.connections.count();
        self.feed.reconnected(clock::now());
        self.status.set_connected(true);
        tracing::info!("connected to Redis");
        let (sender, mut pages) = mpsc::channel(MAX_PAGES);
        let mut reading = JoinSet::new();
        let (position, keys) = (self.position.clone(), [key, self.settings.key(HEARTBEATS)]);
        reading.spawn(read(reader, position, keys, sender));
        let (mut last_beat, mut next_beat) = (clock::now(), clock::now());
        let mut announced = Completeness::default();
        loop {
            self.flush(&mut writer).await?;
            tokio::select! {
                page = pages.recv() => match page {
                    Some(page) => self.page(page).await,
                    None => return Err(reading_error(&mut reading).await),
                },
                () = self.publisher.added() => {}
                () = tokio::time::sleep_until(next_beat.into()) => {
                    self.publish_added(&mut writer).await?;
                    announced = self.beat(&mut writer).await?;
                    last_beat = clock::now();
                    next_beat = last_beat + self.feed.interval();
                }
            }
            if self.feed.completeness(clock::now()) != announced {
                next_beat = next_beat.min(last_beat + MIN_INTERVAL);
            }
            if let Some(until) = self.feed.awaits_until(clock::now()) {
                next_beat = next_beat.min(until);
            }
            if self.feed.take_due_snapshot(clock::now()) || self.publisher.take_must_publish_all() {
                self.publish_snapshot(&mut writer).await?;
            }
        }
    }

    async fn page(&mut self, page: Page) {
        let now = self.clock.now();
        let monotonic = clock::now();
        if page.messages.len() == PAGE {
            self.feed.not_drained();
        } else {
            self.feed.drained();
        }
        if !page.messages.is_empty() {
            self.asks_since = None;
        }
        let is_last = page.messages.len() < PAGE && page.heartbeats.len() < PAGE;
        let mut entries = Vec::new();
        for (id, sealed) in page.messages {
            let name = self.settings.key(REVOCATIONS);
            let opened = self.settings.seal.open(&name, &sealed, now);
            match opened.map(|bytes| Message::parse(&bytes)) {
                Ok(Some(message)) => {
                    let order = self.feed.message(&message, monotonic);
                    match order {
                        MessageOrder::InOrder | MessageOrder::Own => {}
                        MessageOrder::OutOfOrder if self.is_rereading => {}
                        MessageOrder::AfterGap | MessageOrder::OutOfOrder => {
                            self.status.out_of_order.count()
                        }
                    }
                    if let (Body::Entries(found), false) =
                        (message.body, order == MessageOrder::Own)
                    {
                        entries.extend(found.into_iter().filter(|entry| entry.expires > now));
                    }
                }
                Err(super::SealError::Expired) => {}
                Ok(None) | Err(super::SealError::Unopened | super::SealError::Unusable) => {
                    self.status.unopened.count();
                    self.feed.damaged();
                }
            }
            self.length.read(&id);
            self.position.messages = id;
        }
        if !entries.is_empty() {
            self.status.received.add(entries.len() as u64);
            let added = self.revocations.revoke(entries, Origin::Fleet, now).await;
            if let Err(error) = added {
                tracing::error!(%error, "revocations of the fleet could not be kept");
                match error {
                    RevokeError::Full(_) => self.feed.lacks_room(),
                    // They are active, and a restart reads them from the stream.
                    RevokeError::NotWritten(_) => {}
                }
            }
        }
        self.heartbeats(page.heartbeats, now);
        self.is_rereading &= !is_last;
    }

    fn heartbeats(&mut self, heartbeats: Vec<(String, Vec<u8>)>, now: UnixTime) {
        let monotonic = clock::now();
        let name = self.settings.key(HEARTBEATS);
        for (id, sealed) in heartbeats {
            let opened = self.settings.seal.open(&name, &sealed, now);
            match opened.map(|bytes| Heartbeat::parse(&bytes)) {
                // Of a gateway that has stopped and is forgotten: read before, and no sign of life.
                Ok(Some(heartbeat)) if self.is_rereading && !self.feed.knows(heartbeat.sender) => {}
                Ok(Some(heartbeat)) => {
                    let delay = self.feed.interval() - jitter(self.feed.interval());
                    self.feed.heartbeat(&heartbeat, delay, monotonic);
                }
                Err(super::SealError::Expired) => {}
                Ok(None) | Err(super::SealError::Unopened | super::SealError::Unusable) => {
                    self.status.unopened.count();
                }
            }
            self.position.heartbeats = id;
        }
        if let Some(heard) = self.feed.heard() {
            self.status
                .heard(heard, self.feed.round_trip(), self.feed.peers());
        }
    }

    async fn beat(&mut self, writer: &mut Redis) -> Result<Completeness, FleetError> {
        let monotonic = clock::now();
        if self.feed.unheard() >= MAX_UNHEARD {
            self.read_again();
            return Err(FleetError::Unheard);
        }
        if self.asks_in_vain(monotonic) {
            self.unanswered += 1;
            self.read_again();
            return Err(FleetError::Unanswered);
        }
        if has_room(self.revocations.counts()) {
            self.feed.has_room();
        }
        let completeness = self.feed.completeness(monotonic);
        self.position.beat += 1;
        self.feed.sends_heartbeat(self.position.beat, monotonic);
        let now = self.clock.now();
        let (oldest, last) = self.publisher.range(now);
        let heartbeat = Heartbeat {
            sender: self.publisher.me(),
            beat: self.position.beat,
            oldest,
            last,
            is_complete: completeness.is_complete,
            wants_snapshot: completeness.wants_snapshot,
        };
        let key = self.settings.key(HEARTBEATS);
        let kept = self.status.max_age() * 3;
        let sealed =
            self.settings
                .seal
                .seal(&key, now.later_by(kept + CLOCK_SKEW), &heartbeat.write())?;
        let mut commands = redis::pipe();
        add(&mut commands, &key, &sealed, kept, now);
        let stream = self.settings.key(REVOCATIONS);
        commands.cmd("XLEN").arg(&stream);
        let replies = writer.query_all(&commands, 2, WAIT).await?;
        let Some(&Value::Int(length)) = replies.get(1) else {
            return Err(FleetError::UnexpectedReply);
        };
        self.notice_loss(u64::try_from(length).unwrap_or(0), now)?;
        Ok(completeness)
    }

    // FLUSHALL, a restart without data, XTRIM: this gateway knows what Redis has lost.
    fn notice_loss(&mut self, length: u64, now: UnixTime) -> Result<(), FleetError> {
        let retention = self.settings.retention.saturating_sub(CLOCK_SKEW);
        if length >= self.length.at_least(retention, now) {
            return Ok(());
        }
        if self.revocations.counts().entries > 0 {
            let delay = self.feed.interval() - jitter(self.feed.interval());
            self.feed.snapshot_wanted(delay, clock::now());
        }
        self.read_again();
        Err(FleetError::Lost)
    }

    // Whether nothing comes although it asks for a snapshot, and another could publish one.
    fn asks_in_vain(&mut self, now: Instant) -> bool {
        if !self.feed.expects_snapshot(now) {
            self.asks_since = None;
            if self.feed.is_complete(now) {
                self.unanswered = 0;
            }
            return false;
        }
        let since = *self.asks_since.get_or_insert(now);
        let wait = self.feed.interval().max(READ_AGAIN);
        now.saturating_duration_since(since) >= wait * (1 << self.unanswered.min(6))
    }

    // New streams may count from a time before the position, and are then never read.
    fn read_again(&mut self) {
        self.feed.restart();
        self.length.clear();
        self.asks_since = None;
        self.is_rereading = true;
        self.position.messages = Position::default().messages;
        self.position.heartbeats = Position::default().heartbeats;
    }

    // A heartbeat says that nothing waits here, for example since an outage.
    async fn publish_added(&mut self, writer: &mut Redis) -> Result<(), FleetError> {
        while self.publisher.take_added() {
            self.flush(writer).await?;
        }
        if self.publisher.take_must_publish_all() {
            self.publish_snapshot(writer).await?;
        }
        self.flush(writer).await
    }

    async fn flush(&mut self, writer: &mut Redis) -> Result<(), FleetError> {
        let key = self.settings.key(REVOCATIONS);
        loop {
            let (now, retention) = (self.clock.now(), self.settings.retention);
            let mut commands = redis::pipe();
            let messages = self.publisher.next(BATCH);
            let count = messages.len();
            if count == 0 {
                return Ok(());
            }
            for message in messages {
                let expires = now.later_by(retention);
                let sealed = self.settings.seal.seal(&key, expires, &message.write())?;
                add(&mut commands, &key, &sealed, retention, now);
            }
            writer.query_all(&commands, count, WAIT).await?;
            self.publisher.sent(count);
            self.status.published.add(count as u64);
        }
    }

    // All entries that are known here, and a message that says so.
    async fn publish_snapshot(&mut self, writer: &mut Redis) -> Result<(), FleetError> {
        let outcome = self.try_publish_snapshot(writer).await;
        if outcome.is_err() {
            self.publisher.publish_all();
        }
        outcome
    }

    async fn try_publish_snapshot(&mut self, writer: &mut Redis) -> Result<(), FleetError> {
        let first = self.publisher.begin_snapshot();
        // Before the entries are copied: what it names is among them.
        let coverage = self.feed.coverage(first, clock::now());
        let (entries, now) = (self.revocations.entries(), self.clock.now());
        let count = entries.len();
        for chunk in entries.chunks(MAX_ENTRIES) {
            let live = chunk.iter().filter(|entry| entry.expires > now);
            self.publisher.push_entries(live.copied().collect());
            self.flush(writer).await?;
        }
        self.publisher.push(Body::EndOfSnapshot(coverage));
        self.flush(writer).await?;
        tracing::info!(entries = count, "revocations published for the fleet");
        Ok(())
    }
}

// For more than a few entries: otherwise each that expires would be followed by a snapshot.
fn has_room(counts: Counts) -> bool {
    counts.entries <= counts.max_entries - counts.max_entries.div_ceil(16)
}

// Adds a message to a stream, and removes those that are older than `kept`.
fn add(commands: &mut redis::Pipeline, key: &str, sealed: &[u8], kept: Duration, now: UnixTime) {
    let oldest = now.as_seconds() - i64::try_from(kept.as_secs()).unwrap_or(i64::MAX / 2);
    commands
        .cmd("XADD")
        .arg(key)
        .arg("MINID")
        .arg("~")
        .arg(oldest.max(0).saturating_mul(1000))
        .arg("*")
        .arg("m")
        .arg(sealed);
}

// Reads page after page. Blocks on a connection of its own.
async fn read(
    mut redis: Redis,
    mut position: Position,
    keys: [String; 2],
    pages: mpsc::Sender<Page>,
) -> Result<Infallible, FleetError> {
    loop {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(PAGE);
        command
            .arg("BLOCK")
            .arg(BLOCK.as_millis() as u64)
            .arg("STREAMS")
            .arg(&keys)
            .arg(&position.messages)
            .arg(&position.heartbeats);
        let reply = redis.query(command, BLOCK + WAIT).await?;
        let page = parse_page(reply, &keys).ok_or(FleetError::UnexpectedReply)?;
        let last = |read: &[(String, Vec<u8>)]| read.last().map(|(id, _)| id.clone());
        position.messages = last(&page.messages).unwrap_or(position.messages);
        position.heartbeats = last(&page.heartbeats).unwrap_or(position.heartbeats);
        if pages.send(page).await.is_err() {
            return Err(FleetError::UnexpectedReply);
        }
    }
}

async fn reading_error(reading: &mut JoinSet<Result<Infallible, FleetError>>) -> FleetError {
    match reading.join_next().await {
        Some(Ok(Err(error))) => error,
        Some(Ok(Ok(never))) => match never {},
        // The task panicked.
        Some(Err(_)) | None => FleetError::UnexpectedReply,
    }
}

/// Parses the reply to XREAD over RESP2.
fn parse_page(reply: Value, keys: &[String; 2]) -> Option<Page> {
    let mut page = Page {
        messages: Vec::new(),
        heartbeats: Vec::new(),
    };
    for stream in list(reply)? {
        let [key, items] = <[Value; 2]>::try_from(list(stream)?).ok()?;
        let key = bytes(key)?;
        let into = match keys.iter().position(|known| known.as_bytes() == key)? {
            0 => &mut page.messages,
            _ => &mut page.heartbeats,
        };
        for item in list(items)? {
            let [id, fields] = <[Value; 2]>::try_from(list(item)?).ok()?;
            let id = parse_id(&bytes(id)?)?;
            // The field that others may have added is not ours.
            let sealed = list(fields)?.into_iter().nth(1).and_then(bytes);
            into.push((id, sealed.unwrap_or_default()));
        }
        if into.len() > PAGE {
            return None;
        }
    }
    Some(page)
}

// `1764400000000-0`
fn parse_id(bytes: &[u8]) -> Option<String> {
    let text = str::from_utf8(bytes).ok()?;
    let (time, number) = text.split_once('-')?;
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    (is_number(time) && is_number(number)).then(|| text.to_owned())
}

fn list(value: Value) -> Option<Vec<Value>> {
    if value == Value::Nil {
        return Some(Vec::new());
    }
    if let Value::Array(values) = value {
        Some(values)
    } else {
        None
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    if let Value::BulkString(bytes) = value {
        Some(bytes)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> [String; 2] {
        ["m", "h"].map(str::to_owned)
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn stream(key: &str, items: Vec<Value>) -> Value {
        Value::Array(vec![text(key), Value::Array(items)])
    }

    fn item(id: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().map(|field| text(field)).collect();
        Value::Array(vec![text(id), Value::Array(fields)])
    }

    #[test]
    fn page_has_the_messages_of_each_stream() {
        let reply = Value::Array(vec![
            stream("h", vec![item("5-0", &["m", "beat"])]),
            stream("m", vec![item("4-1", &["m", "one"]), item("4-2", &[])]),
        ]);
        let page = parse_page(reply, &keys()).expect("a page");
        assert_eq!(page.heartbeats, [("5-0".to_owned(), b"beat".to_vec())]);
        let messages = [
            ("4-1".to_owned(), b"one".to_vec()),
            // Not ours: it does not open, which is noticed.
            ("4-2".to_owned(), Vec::new()),
        ];
        assert_eq!(page.messages, messages);
        let nothing = parse_page(Value::Nil, &keys()).expect("a page");
        assert!(nothing.messages.is_empty() && nothing.heartbeats.is_empty());
    }

    #[test]
    fn replies_that_were_not_asked_for_are_refused() {
        let many = (0..=PAGE).map(|index| item(&format!("{index}-0"), &["m", "x"]));
        let strange = [
            Value::Okay,
            Value::Int(1),
            text("m"),
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![stream("other", Vec::new())]),
            Value::Array(vec![stream("m", vec![Value::Nil])]),
            Value::Array(vec![stream("m", vec![item("$", &["m", "x"])])]),
            Value::Array(vec![stream("m", vec![item("1-0 COUNT", &["m", "x"])])]),
            Value::Array(vec![stream("m", many.collect())]),
        ];
        for reply in strange {
            assert!(parse_page(reply.clone(), &keys()).is_none(), "{reply:?}");
        }
    }
}
