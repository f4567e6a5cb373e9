//! The page, as a file: what is in it, and what is left out when there is too much. How it behaves in a browser is tested
//! where there is one.

mod common;

use common::{all_captures, capture};
use sendoff_capture::{
    Dissector, LinkType, Options, PacketReader, PcapngWriter,
    report::{HtmlReport, MAX_SHOWN_PACKETS},
    udp_packet,
};
use std::time::Duration;

fn page_of(file: &[u8], name: &str) -> String {
    let (mut reader, mut dissector) = (PacketReader::new(file).unwrap(), Dissector::new(Options::default()));
    let mut report = HtmlReport::new(Vec::new(), name).unwrap();
    while let Some(packet) = reader.next_packet().unwrap() {
        report.packet(&dissector.packet(&packet)).unwrap();
        for conversation in dissector.take_forgotten() {
            report.conversation(&conversation).unwrap();
        }
    }
    for conversation in dissector.finish() {
        report.conversation(&conversation).unwrap();
    }
    String::from_utf8(report.finish(&dissector.totals(), dissector.origin(), None).unwrap()).unwrap()
}

/// The JSON of all elements of a class.
fn elements<'a>(page: &'a str, class: &str) -> Vec<&'a str> {
    let begin = format!("<script type=\"application/json\" class=\"{class}\">");
    page.split(&begin).skip(1).map(|rest| rest.split_once("</script>").unwrap().0).collect()
}

/// `"name":12` in JSON.
fn number(json: &str, name: &str) -> u64 {
    let rest = json.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name}: {json}")).1;
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn every_packet_and_conversation_of_every_capture_is_on_its_page() {
    for (name, file) in all_captures() {
        let page = page_of(&file, &name);
        let end = elements(&page, "end")[0];
        let packets: u64 = elements(&page, "packets").into_iter().map(|chunk| number(chunk, "packets")).sum();
        assert_eq!(packets, number(end.split_once("totals").unwrap().1, "packets"), "{name}");
        assert_eq!(number(end, "beyond"), 0, "{name}");
        assert_eq!(elements(&page, "conversation").len() as u64, number(end, "conversations"), "{name}");
    }
}

#[test]
fn the_echo_is_in_columns() {
    let page = page_of(&capture("seed-p002"), "seed-p002");
    let chunk = elements(&page, "packets")[0];
    for column in [
        // The differences of 1, 2, 3, 4; of 0, 320, 361, 572 µs; una and commands of PUSH, ACK, PUSH, ACK.
        "\"number\":[1,1,1,1]",
        "\"time\":[0,320,41,211]",
        "\"command\":[0,1,-1,1]",
        "\"una\":[0,1,0,0]",
        "\"roundTrip\":[0,321,-321,212]",
    ] {
        assert!(chunk.contains(column), "no {column}: {chunk}");
    }
    assert!(!chunk.contains("\"sn\":"), "a column of zeros is left out: {chunk}");
    let conversation = elements(&page, "conversation")[0];
    assert!(conversation.contains("\"ended\":\"no end was seen; plain KCP has none\""), "{conversation}");
}

#[test]
fn the_page_names_no_other_place() {
    let page = page_of(&capture("seed-p002"), "seed-p002");
    // The one address is the name of a language, not a place.
    let addresses = page.matches("://").count() - page.matches("\"http://www.w3.org/2000/svg\"").count();
    assert_eq!(addresses, 0);
    assert!(!page.contains("src=") && page.contains("default-src 'none'"));
}

#[test]
fn beyond_its_bound_the_ladder_ends_and_the_rest_is_counted() {
    let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
    let interface = writer.interface(LinkType::RAW, "test0").unwrap();
    let (client, server) = ("192.0.2.1:4000".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
    let mut packet = Vec::new();
    udp_packet(client, server, b"x", &mut packet).unwrap();
    let beyond = 1_234;
    for n in 0..MAX_SHOWN_PACKETS + beyond {
        writer.packet(interface, Duration::from_micros(n * 10), &packet, &[]).unwrap();
    }
    let page = page_of(&writer.into_inner(), "many");
    let packets: u64 = elements(&page, "packets").into_iter().map(|chunk| number(chunk, "packets")).sum();
    assert_eq!(packets, MAX_SHOWN_PACKETS);
    let end = elements(&page, "end")[0];
    assert_eq!(number(end, "beyond"), beyond);
    // The graphs go on to the end: all bytes are in them, in as many bins as there may be.
    let conversation = elements(&page, "conversation")[0];
    let bins = number(conversation, "bins");
    assert!((512..=1_024).contains(&bins), "{bins} bins");
    let wire = conversation.split_once("\"wire\":[").unwrap().1.split_once(']').unwrap().0;
    let mut value = 0;
    let sum: i64 = wire
        .split(',')
        .map(|step| {
            value += step.parse::<i64>().unwrap();
            value
        })
        .sum();
    assert_eq!(sum as u64, MAX_SHOWN_PACKETS + beyond);
}
