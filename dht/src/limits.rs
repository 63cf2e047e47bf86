//! Every bound and period of this crate, with its source.

use std::time::Duration;

/// Nodes of a bucket, nodes of an answer, nodes that store. Source: BEP 5, K is 8.
pub const K: usize = 8;

/// Longest message we read, bytes. Source: BEP 32 asks for 1,024 and more for robustness.
pub const MESSAGE_LENGTH_MAX: usize = 2_048;

/// Longest message we send, bytes. Source: BEP 32.
pub const REPLY_LENGTH_MAX: usize = 1_024;

/// Longest answer that has an item, bytes. Ours: a value of [`VALUE_LENGTH_MAX`] with its key and
/// signature; every line carries it whole, though BEP 32 says less.
pub const ITEM_REPLY_LENGTH_MAX: usize = 1_280;

/// Bytes that make our `get` so long that [`ITEM_REPLY_LENGTH_MAX`] is three times as much. Ours.
pub const PAD_LENGTH: usize = 340;

/// Most values in a message, keys included. Ours: an answer with 300 peers has some 330.
pub const MESSAGE_TOKENS_MAX: usize = 1_024;

/// Deepest nesting of a message. Ours: messages need 3; a `v` of BEP 44 may be deeper.
pub const MESSAGE_DEPTH_MAX: usize = 16;

/// Longest transaction id that we echo, bytes. Ours: the field sends 1 to 8; longer ones only make
/// answers long.
pub const TRANSACTION_LENGTH_MAX: usize = 20;

/// Longest token that we keep, bytes. Ours: the field sends 4 to 20.
pub const TOKEN_LENGTH_MAX: usize = 64;

/// Bytes of a reply for each byte of a query, until the address has shown that it receives what we
/// send. Ours: whoever forges a sender then gains no more than with the least DNS resolver.
pub const AMPLIFICATION_MAX: usize = 3;

/// How long an address that answered counts as one that receives what we send. Ours: as long as a
/// token is good.
pub const VERIFIED_TIME: Duration = Duration::from_secs(600);

/// Queries a second that one host is answered. Ours: a lookup asks a node twice; libtorrent's
/// default (`dht_block_ratelimit`) is 5.
pub const QUERIES_PER_S_OF_HOST: f64 = 8.0;

/// Queries that one host may send at once. Ours.
pub const QUERIES_AT_ONCE_OF_HOST: f64 = 40.0;

/// Queries a second that are answered at all. Ours: some 300 KiB a second.
pub const QUERIES_PER_S_ANSWERED: f64 = 1_000.0;

/// Hosts whose manners we remember. Ours: about 300 KiB.
pub const SOURCES_MAX: usize = 4_096;

/// Queries a second that we send. Ours: ten lookups at the same time, about 20 KiB a second.
pub const QUERIES_PER_S_SENT: f64 = 200.0;

/// Queries that we send at once. Ours: the start of many torrents.
pub const QUERIES_AT_ONCE_SENT: f64 = 400.0;

/// Queries that wait for an answer. Ours: five seconds of [`QUERIES_PER_S_SENT`].
pub const CALLS_MAX: usize = 1_024;

/// After this no answer is taken any more. Ours: answers that come at all come within two seconds,
/// but for overloaded lines.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a query holds its place in a lookup before we know any round trip. Source: libtorrent
/// calls a node slow after one second (`short_timeout`).
pub const SLOW_AFTER_START: Duration = Duration::from_secs(1);

/// The least of it. Ours: below this, jitter alone makes nodes slow.
pub const SLOW_AFTER_MIN: Duration = Duration::from_millis(150);

/// The most of it. Ours.
pub const SLOW_AFTER_MAX: Duration = Duration::from_millis(1_500);

/// Queries of a lookup that hold places at the same time. Source: Kademlia's alpha is 3; ours: 4,
/// since a third of the nodes one hears of is dead.
pub const ALPHA: usize = 4;

/// Queries of a lookup that are out, slow ones included. Ours.
pub const LOOKUP_IN_FLIGHT_MAX: usize = 24;

/// Times that one node is asked in a lookup. Ours: one lost packet shall not lose a node.
pub const TRIES_MAX: u8 = 2;

/// Queries of one lookup. Ours: ten times what a lookup needs; only liars need more.
pub const LOOKUP_QUERIES_MAX: usize = 250;

/// Nodes that a lookup remembers. Ours: the closest are kept; 200 cost 30 KiB.
pub const LOOKUP_CANDIDATES_MAX: usize = 200;

/// Nodes of one answer that a lookup takes. Ours: twice K, for nodes that send 16.
pub const NODES_OF_ANSWER_MAX: usize = 2 * K;

/// Nodes of one subnet that a lookup asks. Ours: whoever owns a subnet sits in it with one voice;
/// two, so that a liar does not shut out its neighbour.
pub const LOOKUP_OF_SUBNET_MAX: usize = 2;

/// Answers after which a lookup ends though the names of few nodes fit their addresses. Ours.
pub const LOOKUP_ANSWERS_ENOUGH: usize = 3 * K;

/// Lookups at the same time; more wait. Ours: bounded by [`QUERIES_PER_S_SENT`] anyway.
pub const LOOKUPS_MAX: usize = 16;

/// Lookups that wait. Ours: over it the oldest would be stale when its turn comes.
pub const LOOKUPS_WAITING_MAX: usize = 4_096;

/// Nodes of one subnet in a bucket. Source: libtorrent, `dht_restrict_routing_ips`.
pub const BUCKET_OF_SUBNET_MAX: usize = 1;

/// Nodes of one subnet in a table. Ours: a fifth of the buckets of a full table.
pub const TABLE_OF_SUBNET_MAX: usize = 4;

/// Nodes that wait for a place in a bucket. Source: Kademlia's replacement cache, K.
pub const SPARE_MAX: usize = K;

/// How long a node is good after it was heard. Source: BEP 5, 15 minutes.
pub const GOOD_TIME: Duration = Duration::from_secs(15 * 60);

/// Answers owed in a row that make a node bad. Source: BEP 5, "try once more".
pub const FAILS_MAX: u8 = 2;

/// How often a bucket without change is refreshed. Source: BEP 5, 15 minutes.
pub const REFRESH_EVERY: Duration = Duration::from_secs(15 * 60);

/// How often tables are looked over. Ours: one node is pinged each time, so the 100 nodes of a
/// table are each asked within their 15 minutes.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// A table with fewer nodes is filled again. Ours: two buckets; a table of one never divided, so
/// that nothing else is looked for in it.
pub const TABLE_POOR: usize = 2 * K;

/// How soon a poor table is filled again; twice as late each time. Ours.
pub const BOOTSTRAP_AGAIN: Duration = Duration::from_secs(5);

/// The most that grows to while the table is empty. Ours.
pub const BOOTSTRAP_AGAIN_MAX: Duration = Duration::from_secs(300);

/// The most that grows to while there are nodes. Ours: a bucket is refreshed as often, and there
/// may be no more than these.
pub const REFILL_AGAIN_MAX: Duration = REFRESH_EVERY;

/// Addresses to start from that are remembered. Ours.
pub const ROUTERS_MAX: usize = 32;

/// How often the shell should save the tables. Ours.
pub const PERSIST_EVERY: Duration = Duration::from_secs(300);

/// Nodes saved of each family. Ours: more than a table has.
pub const SAVED_NODES_MAX: usize = 400;

/// How long a token's secret lasts; the one before counts as well. Source: BEP 5, five minutes.
pub const TOKEN_EVERY: Duration = Duration::from_secs(300);

/// Torrents whose peers we store. Source: libtorrent, `dht_max_torrents` 2,000.
pub const TORRENTS_MAX: usize = 2_000;

/// Peers of a torrent that we store. Source: libtorrent, `dht_max_peers` 500.
pub const PEERS_OF_TORRENT_MAX: usize = 500;

/// Peers that we store in all. Ours: about 6 MiB.
pub const PEERS_MAX: usize = 50_000;

/// How long a peer is stored. Ours: clients announce every 15 to 30 minutes.
pub const PEER_TIME: Duration = Duration::from_secs(60 * 60);

/// Items that we store. Source: libtorrent, `dht_max_dht_items` 700.
pub const ITEMS_MAX: usize = 700;

/// Longest value of an item, bencoded, bytes. Source: BEP 44.
pub const VALUE_LENGTH_MAX: usize = 1_000;

/// Longest salt, bytes. Source: BEP 44.
pub const SALT_LENGTH_MAX: usize = 64;

/// How long an item is stored. Source: BEP 44, two hours.
pub const ITEM_TIME: Duration = Duration::from_secs(2 * 60 * 60);

/// How often an item of ours is put again. Source: BEP 44, once an hour.
pub const REPUBLISH_EVERY: Duration = Duration::from_secs(60 * 60);

/// Items of ours that are put again. Ours.
pub const PUBLISHED_MAX: usize = 256;

/// Info hashes in one sample. Ours: 20 fill some 400 of 1,024 bytes, nodes of both families fit.
pub const SAMPLES_MAX: usize = 20;

/// How long the same sample is given. Source: BEP 51 lets nodes give one sample for a while.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(300);

/// Who told our address that is remembered; half of them must agree. Ours: as libtorrent's voters.
pub const VOTES_MAX: usize = 20;

/// Voters of one mind that change our name. Ours: one subnet has one vote.
pub const VOTES_NEEDED: usize = 6;

/// Outputs beyond which queries are not answered until the shell has taken some. Ours.
pub const OUTPUTS_MAX: usize = 4_096;
