//! Gateways on loopback that speak one protocol each, and what the mapper makes of them.

use std::sync::{Arc, Mutex};

use async_std::net::{TcpListener, UdpSocket};
use async_std::task::{self, JoinHandle};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use shoal_nearby::gateway::ssdp::TARGETS;

use super::*;

const OURS: u16 = 6881;

/// What a gateway was told, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// Ends with the test.
struct Gateway {
    place: Place,
    log: Log,
    running: Vec<JoinHandle<()>>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for task in self.running.drain(..) {
            task::block_on(task.cancel());
        }
    }
}

/// How a gateway of UPnP behaves.
#[derive(Clone, Copy)]
struct Manners {
    /// Somebody has our port there.
    is_taken: bool,
    /// Mappings have no end.
    is_permanent: bool,
    /// Where the description is said to be, if not here.
    elsewhere: Option<SocketAddr>,
}

const GOOD: Manners = Manners {
    is_taken: false,
    is_permanent: false,
    elsewhere: None,
};

impl Gateway {
    /// Answers nobody: its ports were free a moment ago.
    async fn silent() -> Self {
        let free = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let free = free.local_addr().unwrap();
        let place = Place {
            gateway: Some(Ipv4Addr::LOCALHOST),
            server_port: free.port(),
            search: free,
        };
        Self {
            place,
            log: Log::default(),
            running: Vec::new(),
        }
    }

    fn note(log: &Log, text: impl Into<String>) {
        log.lock().unwrap().push(text.into());
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// A server of datagrams; `answer` may be silent.
    async fn serving(answer: fn(&[u8], &Log) -> Option<Vec<u8>>) -> Self {
        let mut gateway = Self::silent().await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        gateway.place.server_port = socket.local_addr().unwrap().port();
        let log = gateway.log.clone();
        gateway.running.push(task::spawn(async move {
            let mut buffer = [0; 2000];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = answer(&buffer[..length], &log) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        }));
        gateway
    }

    async fn upnp(manners: Manners) -> Self {
        let mut gateway = Self::silent().await;
        let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let described = manners
            .elsewhere
            .unwrap_or_else(|| web.local_addr().unwrap());
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        gateway.place.search = socket.local_addr().unwrap();
        gateway.running.push(task::spawn(async move {
            let mut buffer = [0; 2000];
            while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
                let target = TARGETS[0];
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nST: {target}\r\nLOCATION: http://{described}/d.xml\r\n\r\n"
                );
                let _ = socket.send_to(answer.as_bytes(), from).await;
            }
        }));
        let log = gateway.log.clone();
        gateway.running.push(task::spawn(async move {
            while let Ok((mut stream, _)) = web.accept().await {
                let (mut request, mut buffer) = (Vec::new(), [0; 2000]);
                while !is_whole(&request) {
                    let length = stream.read(&mut buffer).await.unwrap_or(0);
                    if length == 0 {
                        break;
                    }
                    request.extend_from_slice(&buffer[..length]);
                }
                let answer = call(&String::from_utf8_lossy(&request), manners, &log);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }));
        gateway
    }

    fn mapper(&self, by: &[MapBy]) -> Mapper {
        self.mapper_telling(by, Reach::new(OURS))
    }

    fn mapper_telling(&self, by: &[MapBy], reach: Reach) -> Mapper {
        let want = Want {
            by: by.to_vec(),
            transport: Transport::Tcp,
            port: OURS,
            reach,
        };
        let place = self.place;
        let news = bounded(PORT_NEWS_QUEUED_MAX);
        Mapper::start_at(want, &news, Duration::from_millis(10), move || place)
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        head.starts_with("GET") || body.trim_end().ends_with("</s:Envelope>")
    })
}

/// What stands in an element.
fn inside<'a>(request: &'a str, name: &str) -> &'a str {
    let (_, rest) = request.split_once(&format!("<{name}>")).unwrap();
    rest.split('<').next().unwrap()
}

fn call(request: &str, manners: Manners, log: &Log) -> String {
    let (status, body) = if request.starts_with("GET /d.xml ") {
        let service = "<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
                       <controlURL>/ctl</controlURL>";
        (200, format!("<root><service>{service}</service></root>"))
    } else if request.contains("#GetExternalIPAddress\"") {
        let ip = "<NewExternalIPAddress>203.0.113.5</NewExternalIPAddress>";
        let name = "GetExternalIPAddressResponse";
        (200, format!("<{name}>{ip}</{name}>"))
    } else if request.contains("#AddPortMapping\"") {
        let port = inside(request, "NewExternalPort");
        let lease = inside(request, "NewLeaseDuration");
        if manners.is_taken && port == OURS.to_string() {
            (500, "<Fault><errorCode>718</errorCode></Fault>".to_owned())
        } else if manners.is_permanent && lease != "0" {
            (500, "<Fault><errorCode>725</errorCode></Fault>".to_owned())
        } else {
            let client = inside(request, "NewInternalClient");
            let ours = inside(request, "NewInternalPort");
            Gateway::note(log, format!("map {port} to {client}:{ours} for {lease}"));
            (200, "<AddPortMappingResponse/>".to_owned())
        }
    } else {
        Gateway::note(log, format!("unmap {}", inside(request, "NewExternalPort")));
        (200, "<DeletePortMappingResponse/>".to_owned())
    };
    format!("HTTP/1.1 {status} X\r\n\r\n{body}")
}

/// NAT-PMP that grants for one second.
fn nat_pmp(request: &[u8], log: &Log) -> Option<Vec<u8>> {
    let mut answer = vec![0, 128 | *request.get(1)?, 0, 0, 0, 0, 0, 1];
    match request {
        [0, 0] => answer.extend([203, 0, 113, 5]),
        [0, 2, 0, 0, ports @ .., a, b, c, d] => {
            let lifetime = u32::from_be_bytes([*a, *b, *c, *d]);
            Gateway::note(log, format!("map {ports:?} for {lifetime}"));
            answer.extend(&ports[..2]);
            let granted = [7001_u16, 0][usize::from(lifetime == 0)];
            answer.extend(granted.to_be_bytes());
            answer.extend(lifetime.min(1).to_be_bytes());
        }
        _ => return None,
    }
    Some(answer)
}

/// PCP that grants what is liked.
fn pcp(request: &[u8], log: &Log) -> Option<Vec<u8>> {
    if request.first() != Some(&2) {
        return None;
    }
    let mut answer = vec![2, 0x80 | request[1], 0, 0];
    answer.extend(&request[4..8]);
    answer.resize(24, 0);
    if request[1] == 1 {
        let lifetime = u32::from_be_bytes([request[4], request[5], request[6], request[7]]);
        Gateway::note(log, format!("map {:?} for {lifetime}", &request[40..44]));
        answer.extend(&request[24..44]);
        answer.extend(Ipv4Addr::new(203, 0, 113, 5).to_ipv6_mapped().octets());
    }
    Some(answer)
}

async fn mapped(mapper: &Mapper) -> (MapBy, u16, Option<IpAddr>) {
    match mapper.news.recv().await.unwrap() {
        PortNews::Mapped {
            by,
            transport: Transport::Tcp,
            internal_port: OURS,
            external_port,
            external_ip,
        } => (by, external_port, external_ip),
        other => panic!("{other:?}"),
    }
}

async fn failed(mapper: &Mapper) -> Vec<(MapBy, String)> {
    match mapper.news.recv().await.unwrap() {
        PortNews::Failed { causes, .. } => {
            let causes = causes.into_iter();
            causes.map(|(by, cause)| (by, cause.to_string())).collect()
        }
        other => panic!("{other:?}"),
    }
}

const OUTSIDE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5)));

#[test]
fn nat_pmp_mapping_is_renewed_at_half_its_life_and_taken_back() {
    task::block_on(async {
        let gateway = Gateway::serving(nat_pmp).await;
        let reach = Reach::new(OURS);
        let mapper = gateway.mapper_telling(&MapBy::ALL, reach.clone());
        assert_eq!(mapped(&mapper).await, (MapBy::NatPmp, 7001, OUTSIDE));
        assert_eq!(reach.port(), Some(7001));
        while gateway.log().len() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
        mapper.stop().await;
        assert_eq!(reach.port(), Some(OURS));
        let log = gateway.log();
        // Ours is 6881 = 0x1ae1; the first time it is liked, then the one that was granted.
        assert_eq!(log[0], "map [26, 225, 26, 225] for 3600");
        assert_eq!(log[1], "map [26, 225, 27, 89] for 3600");
        assert_eq!(log.last().unwrap(), "map [26, 225, 0, 0] for 0");
    });
}

#[test]
fn pcp_mapping_is_made_and_taken_back() {
    task::block_on(async {
        let gateway = Gateway::serving(pcp).await;
        let mapper = gateway.mapper(&MapBy::ALL);
        assert_eq!(mapped(&mapper).await, (MapBy::Pcp, OURS, OUTSIDE));
        mapper.stop().await;
        let expect = [
            "map [26, 225, 26, 225] for 3600",
            "map [26, 225, 0, 0] for 0",
        ];
        assert_eq!(gateway.log(), expect);
    });
}

#[test]
fn upnp_mapping_is_made_and_taken_back() {
    task::block_on(async {
        let gateway = Gateway::upnp(GOOD).await;
        let mapper = gateway.mapper(&MapBy::ALL);
        assert_eq!(mapped(&mapper).await, (MapBy::Upnp, OURS, OUTSIDE));
        mapper.stop().await;
        let expect = ["map 6881 to 127.0.0.1:6881 for 3600", "unmap 6881"];
        assert_eq!(gateway.log(), expect);
    });
}

#[test]
fn upnp_gateway_whose_port_is_taken_gives_another_and_for_ever_if_need_be() {
    task::block_on(async {
        let manners = Manners {
            is_taken: true,
            is_permanent: true,
            ..GOOD
        };
        let gateway = Gateway::upnp(manners).await;
        let mapper = gateway.mapper(&[MapBy::Upnp]);
        let (_, port, _) = mapped(&mapper).await;
        assert_ne!(port, OURS);
        mapper.stop().await;
        let expect = [
            format!("map {port} to 127.0.0.1:6881 for 0"),
            format!("unmap {port}"),
        ];
        assert_eq!(gateway.log(), expect);
    });
}

#[test]
fn upnp_gateway_that_names_another_host_is_not_followed() {
    task::block_on(async {
        let victim = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let manners = Manners {
            elsewhere: Some(victim.local_addr().unwrap()),
            ..GOOD
        };
        let gateway = Gateway::upnp(manners).await;
        let mapper = gateway.mapper(&[MapBy::Upnp]);
        let expect = "it names 127.0.0.2, which is another host than itself";
        assert_eq!(failed(&mapper).await, [(MapBy::Upnp, expect.to_owned())]);
        let visited = timeout(Duration::from_millis(10), victim.accept()).await;
        assert!(visited.is_err(), "somebody came");
        mapper.stop().await;
        assert_eq!(gateway.log(), [""; 0]);
    });
}

#[test]
fn answer_of_another_than_the_gateway_is_not_believed() {
    task::block_on(async {
        let mut gateway = Gateway::upnp(GOOD).await;
        gateway.place.gateway = Some(Ipv4Addr::new(127, 0, 0, 3));
        let mapper = gateway.mapper(&[MapBy::Upnp]);
        assert_eq!(
            failed(&mapper).await,
            [(MapBy::Upnp, "no answer".to_owned())]
        );
        mapper.stop().await;
        assert_eq!(gateway.log(), [""; 0]);
    });
}

#[test]
fn gateway_that_refuses_is_told_of_with_each_cause() {
    task::block_on(async {
        let refusing = |request: &[u8], _: &Log| match request {
            [2, operation, ..] => {
                let mut answer = vec![2, 0x80 | operation, 0, 2];
                answer.resize(24, 0);
                Some(answer)
            }
            [0, operation, ..] => Some(vec![0, 128 | operation, 0, 2, 0, 0, 0, 1]),
            _ => None,
        };
        let gateway = Gateway::serving(refusing).await;
        let mapper = gateway.mapper(&[MapBy::Pcp, MapBy::NatPmp]);
        let mut causes = failed(&mapper).await;
        causes.sort();
        let named = causes.iter().map(|(by, _)| *by).collect::<Vec<_>>();
        assert_eq!(named, [MapBy::Pcp, MapBy::NatPmp]);
        assert!(
            causes
                .iter()
                .all(|(_, cause)| cause.contains("does not allow it"))
        );
        mapper.stop().await;
    });
}

#[test]
fn network_without_a_gateway_says_so_at_once() {
    task::block_on(async {
        let mut gateway = Gateway::silent().await;
        gateway.place.gateway = None;
        let mapper = gateway.mapper(&[MapBy::Pcp, MapBy::NatPmp]);
        let causes = failed(&mapper).await;
        assert_eq!(causes.len(), 2);
        assert!(
            causes
                .iter()
                .all(|(_, cause)| cause == "no gateway is known"),
            "{causes:?}"
        );
        mapper.stop().await;
    });
}
