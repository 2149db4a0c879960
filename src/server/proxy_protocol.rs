//! The PROXY protocol (versions 1 and 2): a proxy in front says which client a connection is from.
//!
//! 1. A listener with `proxy_protocol` requires the header. A connection without a valid one is
//!    closed: its first bytes must not be read as a request of the proxy itself.
//! 2. The header is believed only from `trusted_proxies`. Connections of other peers are closed
//!    before anything is read.
//! 3. Nothing beyond the header is read: what follows belongs to TLS or HTTP.
//! 4. The header is bounded in size here, and in time by its caller.
//!
//! Framing is done here, and the `ppp` crate parses a whole header. It cannot be asked after each
//! read: it takes some incomplete headers of version 1 for malformed ones.

use std::io;
use std::net::IpAddr;

use ppp::{v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The shortest header: `PROXY UNKNOWN` and a line break. One of version 2 is longer.
const MIN_HEADER: usize = 15;
/// The longest header of version 1, by its specification.
const MAX_V1_HEADER: usize = 107;
/// A header of version 2 without its variable part, whose length its last two bytes hold.
const V2_FIXED: usize = 16;
/// The longest header of version 2 that is read. Cloud providers add less than a kilobyte of their
/// own fields.
const MAX_V2_HEADER: usize = 4096;

/// Reads the header of a connection. Returns the address that it carries; `None` if the connection
/// is the peer's own (`LOCAL`), or the peer does not know the client's address (`UNKNOWN`).
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what is no header, [`io::ErrorKind::UnexpectedEof`] for an
/// incomplete one.
pub(super) async fn read_header(socket: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut header = Vec::with_capacity(MAX_V1_HEADER);
    read_more(socket, &mut header, MIN_HEADER).await?;
    if header.starts_with(v2::PROTOCOL_PREFIX) {
        read_more(socket, &mut header, V2_FIXED - MIN_HEADER).await?;
        let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if V2_FIXED + rest > MAX_V2_HEADER {
            return Err(malformed("a header of more than 4096 bytes"));
        }
        read_more(socket, &mut header, rest).await?;
        return parse_v2(&header);
    }
    if !header.starts_with(b"PROXY ") {
        return Err(malformed("no PROXY header"));
    }
    while !header.ends_with(b"\n") {
        let mut next = [0; MAX_V1_HEADER];
        let left = MAX_V1_HEADER - header.len();
        if left == 0 {
            return Err(malformed("a line of more than 107 bytes"));
        }
        let seen = socket.peek(&mut next[..left]).await?;
        let line_end = next[..seen].iter().position(|byte| *byte == b'\n');
        // All of it belongs to the header: the line has not ended before.
        let length = line_end.map_or(seen, |end| end + 1).max(1);
        read_more(socket, &mut header, length).await?;
    }
    parse_v1(&header)
}

async fn read_more(socket: &mut TcpStream, header: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let read = header.len();
    header.resize(read + length, 0);
    socket.read_exact(&mut header[read..]).await?;
    Ok(())
}

fn parse_v1(line: &[u8]) -> io::Result<Option<IpAddr>> {
    let header = v1::Header::try_from(line).map_err(|error| malformed(&error.to_string()))?;
    // The crate ends the header at its first CR.
    if header.header.len() != line.len() {
        return Err(malformed("a line break within the line"));
    }
    Ok(match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
    })
}

fn parse_v2(bytes: &[u8]) -> io::Result<Option<IpAddr>> {
    let header = v2::Header::try_from(bytes).map_err(|error| malformed(&error.to_string()))?;
    if header.tlvs().any(|field| field.is_err()) {
        return Err(malformed("a field that exceeds the header"));
    }
    let address = match (header.command, &header.addresses) {
        // The client of a proxy's Unix socket has no address that could be used here.
        (v2::Command::Local, _) | (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => {
            return Ok(None);
        }
        (v2::Command::Proxy, v2::Addresses::IPv4(addresses)) => addresses.source_address.into(),
        (v2::Command::Proxy, v2::Addresses::IPv6(addresses)) => addresses.source_address.into(),
    };
    match header.protocol {
        v2::Protocol::Stream => Ok(Some(address)),
        v2::Protocol::Datagram | v2::Protocol::Unspecified => {
            Err(malformed("an address of another protocol than TCP"))
        }
    }
}

fn malformed(found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, rest].concat()
    }

    async fn read(sent: &[u8], piece: usize) -> (io::Result<Option<IpAddr>>, Vec<u8>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let sent = sent.to_vec();
        let sending = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            let mut client = TcpStream::connect(address).await.expect("it listens");
            client.set_nodelay(true).expect("an open socket");
            for piece in sent.chunks(piece) {
                client.write_all(piece).await.expect("it reads");
                tokio::task::yield_now().await;
            }
        });
        let (mut socket, _) = listener.accept().await.expect("the client");
        let outcome = read_header(&mut socket).await;
        sending.await.expect("no panic");
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.expect("the end");
        (outcome, rest)
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];

    #[tokio::test]
    async fn header_is_read_and_nothing_beyond_it() {
        let ipv6 = [[0; 15].as_slice(), &[9], &[0; 15], &[1], &[0; 4]].concat();
        let with_field = [&IPV4[..], &[4, 0, 2, 0, 0]].concat();
        let largest = [&IPV4[..], &[4, 0x0f, 0xe1], &[0; 4065]].concat();
        let cases: [(Vec<u8>, Option<&str>); 11] = [
            (
                b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
                Some("192.0.2.7"),
            ),
            (
                b"PROXY TCP6 2001:db8::7 ::1 65535 443\r\n".to_vec(),
                Some("2001:db8::7"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ::1 ::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &IPV4), Some("192.0.2.7")),
            (v2(0x21, 0x21, &ipv6), Some("::9")),
            (v2(0x21, 0x11, &with_field), Some("192.0.2.7")),
            (v2(0x21, 0x11, &largest), Some("192.0.2.7")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &IPV4), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ];
        for (header, expected) in cases {
            let expected: Option<IpAddr> = expected.map(|text| text.parse().expect("an address"));
            for piece in [1, 7, usize::MAX] {
                let sent = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
                let (address, rest) = read(&sent, piece).await;
                let shown = header.escape_ascii();
                assert_eq!(address.expect("a header"), expected, "{shown}");
                assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{shown}");
            }
        }
    }

    #[tokio::test]
    async fn malformed_and_incomplete_headers_are_errors() {
        let too_large = [&IPV4[..], &[4, 0x0f, 0xe2], &[0; 4066]].concat();
        let long_line = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100], b"\r\n"].concat();
        for header in [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaa".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.007 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\rX\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4  192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            b"proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            long_line,
            v2(0x11, 0x11, &IPV4),
            v2(0x22, 0x11, &IPV4),
            v2(0x21, 0x41, &IPV4),
            v2(0x21, 0x12, &IPV4),
            v2(0x21, 0x10, &IPV4),
            v2(0x21, 0x11, &IPV4[..11]),
            v2(0x21, 0x21, &IPV4),
            v2(0x21, 0x11, &[&IPV4[..], &[4, 0, 9, 0]].concat()),
            v2(0x21, 0x11, &too_large),
        ] {
            let (outcome, _) = read(&header, usize::MAX).await;
            let error = outcome.expect_err(&header.escape_ascii().to_string());
            assert_eq!(
                error.kind(),
                io::ErrorKind::InvalidData,
                "{}",
                header.escape_ascii()
            );
        }
        for header in [
            &b""[..],
            b"PROXY",
            b"PROXY TCP4 192.0.2.7",
            &v2(0x21, 0x11, &IPV4)[..20],
        ] {
            let (outcome, _) = read(header, usize::MAX).await;
            let error = outcome.expect_err("it is incomplete");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
