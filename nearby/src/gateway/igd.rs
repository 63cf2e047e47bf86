//! UPnP's Internet Gateway Device: its description, and the calls that map a port. IGD 1 and 2.
//!
//! A description names services; those that map ports are [`Service`]s. A call is a SOAP request,
//! and its answer holds values or a fault with a number.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use super::Transport;
use super::ssdp::Location;
use super::xml::{Mark, read};
use crate::limits::SERVICES_MAX;

pub use super::xml::XmlError;

/// Services that map ports, the best first. Source: UPnP IGD 2, 2.1; IGD 1, 2.1.
const SERVICE_TYPES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// A service that maps ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Where calls go.
    pub control: Location,
    kind: &'static str,
}

/// What is asked of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Its address on the outside.
    ExternalAddress,
    /// A way to one of our ports.
    Add {
        /// What travels there.
        transport: Transport,
        /// The one at the gateway.
        external_port: u16,
        /// Our address on the inside.
        client: IpAddr,
        /// Our port.
        internal_port: u16,
        /// For how long, seconds; 0 is for ever, for gateways that know nothing else.
        lifetime_s: u32,
    },
    /// No such way any more.
    Delete {
        /// What travelled there.
        transport: Transport,
        /// The one at the gateway.
        external_port: u16,
    },
}

/// A call as HTTP carries it: a `POST` to the control location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The value of the header `SOAPAction`.
    pub soap_action: String,
    /// Of type `text/xml; charset="utf-8"`.
    pub body: String,
}

/// Why a document of a gateway is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IgdError {
    /// It cannot be read.
    #[error("the gateway sends {0}")]
    Xml(#[from] XmlError),
    /// It is no answer to the call.
    #[error("the gateway sends no answer to the call")]
    NoAnswer,
    /// Fault 718: somebody else has that port at the gateway.
    #[error("another machine has that port of the gateway")]
    Conflict,
    /// Fault 725: mappings without an end only.
    #[error("the gateway knows no mappings that end")]
    OnlyPermanent,
    /// Fault 606: the gateway does not let us.
    #[error("the gateway does not allow it; look for UPnP in its settings")]
    NotAuthorized,
    /// Any other fault.
    #[error("the gateway refuses with fault {0}")]
    Fault(u16),
}

/// The services in the description at `place` that map ports, the best first.
///
/// Those whose control URL leads to another host are left out.
///
/// # Errors
/// [`XmlError`].
pub fn services(place: &Location, description: &[u8]) -> Result<Vec<Service>, XmlError> {
    let (mut base, mut kind, mut url) = (None, String::new(), String::new());
    let mut named = Vec::new();
    read(description, |mark| match mark {
        Mark::Open("service") => {
            kind.clear();
            url.clear();
        }
        Mark::Close("URLBase", text) => base = Some(text.to_owned()),
        Mark::Close("serviceType", text) => text.clone_into(&mut kind),
        Mark::Close("controlURL", text) => text.clone_into(&mut url),
        Mark::Close("service", _) => {
            let rank = SERVICE_TYPES.iter().position(|known| **known == kind);
            if let Some(rank) = rank.filter(|_| named.len() < SERVICES_MAX && !url.is_empty()) {
                named.push((rank, url.clone()));
            }
        }
        _ => {}
    })?;
    named.sort_by_key(|(rank, _)| *rank);
    let base = base.and_then(|base| place.join(&base).ok());
    let base = base.as_ref().unwrap_or(place);
    let services = named.into_iter().filter_map(|(rank, url)| {
        let control = base.join(&url).ok()?;
        let kind = SERVICE_TYPES[rank];
        Some(Service { control, kind })
    });
    Ok(services.collect())
}

impl Action {
    fn name(&self) -> &'static str {
        match self {
            Self::ExternalAddress => "GetExternalIPAddress",
            Self::Add { .. } => "AddPortMapping",
            Self::Delete { .. } => "DeletePortMapping",
        }
    }

    /// In the order of the standard, which some gateways insist on.
    fn arguments(&self) -> Vec<(&'static str, String)> {
        match *self {
            Self::ExternalAddress => Vec::new(),
            Self::Add {
                transport,
                external_port,
                client,
                internal_port,
                lifetime_s,
            } => vec![
                ("NewRemoteHost", String::new()),
                ("NewExternalPort", external_port.to_string()),
                ("NewProtocol", transport.to_string()),
                ("NewInternalPort", internal_port.to_string()),
                ("NewInternalClient", client.to_string()),
                ("NewEnabled", "1".to_owned()),
                ("NewPortMappingDescription", "Shoal".to_owned()),
                ("NewLeaseDuration", lifetime_s.to_string()),
            ],
            Self::Delete {
                transport,
                external_port,
            } => vec![
                ("NewRemoteHost", String::new()),
                ("NewExternalPort", external_port.to_string()),
                ("NewProtocol", transport.to_string()),
            ],
        }
    }

    /// Reads the answer; the gateway's address where it was asked for and known.
    ///
    /// # Errors
    /// [`IgdError`].
    pub fn decode(&self, body: &[u8]) -> Result<Option<Ipv4Addr>, IgdError> {
        let (mut fault, mut address, mut is_answer) = (None, None, false);
        let expected = format!("{}Response", self.name());
        read(body, |mark| match mark {
            Mark::Close("errorCode", text) => fault = Some(text.parse().unwrap_or(501)),
            Mark::Close("NewExternalIPAddress", text) => address = text.parse().ok(),
            Mark::Close(name, _) if name == expected => is_answer = true,
            _ => {}
        })?;
        match fault {
            Some(606) => Err(IgdError::NotAuthorized),
            Some(718) => Err(IgdError::Conflict),
            Some(725) => Err(IgdError::OnlyPermanent),
            Some(other) => Err(IgdError::Fault(other)),
            None if is_answer => Ok(address.filter(|ip: &Ipv4Addr| !ip.is_unspecified())),
            None => Err(IgdError::NoAnswer),
        }
    }
}

impl Service {
    /// The call that asks for an action.
    #[must_use]
    pub fn call(&self, action: &Action) -> Call {
        let (kind, name) = (self.kind, action.name());
        let mut body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope \
             xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:{name} \
             xmlns:u=\"{kind}\">"
        );
        for (name, value) in action.arguments() {
            // Numbers, addresses and our own words: nothing to escape.
            write!(body, "<{name}>{value}</{name}>").expect("a string takes what is written");
        }
        write!(body, "</u:{name}></s:Body></s:Envelope>\r\n")
            .expect("a string takes what is written");
        Call {
            soap_action: format!("\"{kind}#{name}\""),
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const ADD: Action = Action::Add {
        transport: Transport::Tcp,
        external_port: 6881,
        client: IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7)),
        internal_port: 6882,
        lifetime_s: 3600,
    };

    fn place() -> Location {
        let gateway = Ipv4Addr::new(192, 168, 1, 1).into();
        Location::parse("http://192.168.1.1:5000/rootDesc.xml", gateway).unwrap()
    }

    fn service(kind: &str, url: &str) -> String {
        format!(
            "<service><serviceType>urn:schemas-upnp-org:service:{kind}</serviceType>\
             <controlURL>{url}</controlURL><eventSubURL>/evt</eventSubURL></service>"
        )
    }

    fn description(services: &[String], base: &str) -> Vec<u8> {
        let services = services.concat();
        format!(
            "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\">{base}\
             <device><deviceList><device><serviceList>{services}</serviceList></device>\
             </deviceList></device></root>"
        )
        .into_bytes()
    }

    fn controls(services: &[String], base: &str) -> Vec<(String, String)> {
        let found = super::services(&place(), &description(services, base)).unwrap();
        let found = found.into_iter().map(|service| {
            let Location { address, path } = service.control;
            let (_, kind) = service.kind.rsplit_once("service:").unwrap();
            (kind.to_owned(), format!("{address}{path}"))
        });
        found.collect()
    }

    #[test]
    fn services_that_map_ports_are_found_the_best_first() {
        let named = [
            service("Layer3Forwarding:1", "/L3F"),
            service("WANPPPConnection:1", "/PPP"),
            service("WANIPConnection:1", "ctl/IP1"),
            service("WANIPConnection:2", "http://192.168.1.1:7/IP2"),
        ];
        let expect = [
            ("WANIPConnection:2", "192.168.1.1:7/IP2"),
            ("WANIPConnection:1", "192.168.1.1:5000/ctl/IP1"),
            ("WANPPPConnection:1", "192.168.1.1:5000/PPP"),
        ]
        .map(|(kind, control)| (kind.to_owned(), control.to_owned()));
        assert_eq!(controls(&named, ""), expect);
    }

    #[test]
    fn service_on_another_host_is_left_out() {
        let far = [service("WANIPConnection:1", "http://127.0.0.1:631/admin")];
        assert_eq!(controls(&far, ""), []);
        let near = [service("WANIPConnection:1", "/IP1")];
        // A base that leads elsewhere is not followed.
        let found = controls(&near, "<URLBase>http://127.0.0.1/</URLBase>");
        assert_eq!(found[0].1, "192.168.1.1:5000/IP1");
        let found = controls(&near, "<URLBase>http://192.168.1.1:8/</URLBase>");
        assert_eq!(found[0].1, "192.168.1.1:8/IP1");
    }

    #[test]
    fn services_above_the_bound_are_left_out() {
        let many = vec![service("WANIPConnection:1", "/x"); SERVICES_MAX + 1];
        assert_eq!(controls(&many, "").len(), SERVICES_MAX);
    }

    #[test]
    fn call_is_as_the_standard_has_it() {
        let named = description(&[service("WANIPConnection:1", "/IP1")], "");
        let call = services(&place(), &named).unwrap()[0].call(&ADD);
        let kind = "urn:schemas-upnp-org:service:WANIPConnection:1";
        assert_eq!(call.soap_action, format!("\"{kind}#AddPortMapping\""));
        let arguments = "<NewRemoteHost></NewRemoteHost><NewExternalPort>6881</NewExternalPort>\
                         <NewProtocol>TCP</NewProtocol><NewInternalPort>6882</NewInternalPort>\
                         <NewInternalClient>192.168.1.7</NewInternalClient>\
                         <NewEnabled>1</NewEnabled>\
                         <NewPortMappingDescription>Shoal</NewPortMappingDescription>\
                         <NewLeaseDuration>3600</NewLeaseDuration>";
        assert!(call.body.contains(arguments), "{}", call.body);
        read(call.body.as_bytes(), |_| {}).unwrap();
    }

    fn answered(name: &str, inside: &str) -> Vec<u8> {
        format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"x\"><s:Body><u:{name} xmlns:u=\"y\">\
             {inside}</u:{name}></s:Body></s:Envelope>"
        )
        .into_bytes()
    }

    #[test]
    fn answers_give_what_was_asked_for() {
        assert_eq!(
            ADD.decode(&answered("AddPortMappingResponse", "")),
            Ok(None)
        );
        let address = |text: &str| {
            let inside = format!("<NewExternalIPAddress>{text}</NewExternalIPAddress>");
            Action::ExternalAddress.decode(&answered("GetExternalIPAddressResponse", &inside))
        };
        assert_eq!(
            address("203.0.113.5"),
            Ok(Some(Ipv4Addr::new(203, 0, 113, 5)))
        );
        for unknown in ["", "0.0.0.0", "somewhere"] {
            assert_eq!(address(unknown), Ok(None), "{unknown}");
        }
        let other = answered("DeletePortMappingResponse", "");
        assert_eq!(ADD.decode(&other), Err(IgdError::NoAnswer));
        assert_eq!(
            ADD.decode(b"<html>"),
            Err(IgdError::Xml(XmlError::Malformed))
        );
    }

    #[test]
    fn faults_are_told_by_name() {
        let check = |code: &str, expect| {
            let detail = format!("<UPnPError><errorCode>{code}</errorCode></UPnPError>");
            assert_eq!(
                ADD.decode(&answered("Fault", &detail)),
                Err(expect),
                "{code}"
            );
        };
        check("606", IgdError::NotAuthorized);
        check("718", IgdError::Conflict);
        check(" 725 ", IgdError::OnlyPermanent);
        check("402", IgdError::Fault(402));
        check("none", IgdError::Fault(501));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..300)) {
            let _ = services(&place(), &bytes);
            let _ = ADD.decode(&bytes);
        }
    }
}
