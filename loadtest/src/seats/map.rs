//! Reads of the seat map over HTTP, beside nginx with the same bytes in a file.

use super::args::SeatsArgs;
use crate::report::{Report, median, round};
use crate::wire::Wire;
use client::{Client, Failed};
use serde_json::json;
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;
use testkit::{Server, free_port, until};

const KEY: &str = "map-organiser-key-0123456789";
/// Number of reading connections, and of reads in a round.
const READERS: usize = 64;
const READS: usize = 40_000;
const SEATS_PATH: &str = "/api/v1/events/map/seats";

/// Alternates both and reports the medians, for the map in bits and in JSON.
pub(super) async fn run(args: &SeatsArgs, report: &mut Report) -> Result<(), Failed> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (ours, _fairline) = fairline(folder.path()).await?;
    let client = Client::new(&format!("http://{ours}"));
    let (nginx, _nginx) = nginx(folder.path())?;
    for (name, accept) in [
        ("in bits", "application/octet-stream"),
        ("in JSON", "application/json"),
    ] {
        let heads = [("accept", accept)];
        let map = client
            .raw(hyper::Method::GET, SEATS_PATH, &heads, Vec::new())
            .await?;
        // Each variant gets its own file, as nginx keeps open the files it has served.
        let file_name = accept.replace('/', "-");
        std::fs::write(folder.path().join(&file_name), map.body())
            .map_err(|error| error.to_string())?;
        // Maps of a megabyte are read less often.
        let reads = (READS * 1250 / map.body().len()).clamp(2_000, READS);
        let (mut own, mut file) = (Vec::new(), Vec::new());
        for _ in 0..args.rounds {
            own.push(read(&ours, &format!("GET {SEATS_PATH}"), accept, reads).await?);
            file.push(read(&nginx, &format!("GET /{file_name}"), accept, reads).await?);
        }
        let (own, file) = (median(&mut own), median(&mut file));
        report.add(&format!("seat map {name}"), map.body().len(), "bytes");
        report.add(&format!("reads of the map {name}"), own.round(), "/s");
        report.add(
            &format!("nginx, the same from a file, {name}"),
            file.round(),
            "/s",
        );
        report.add(&format!("ratio to nginx, {name}"), round(own / file), "");
    }
    Ok(())
}

/// Measures reads per second.
async fn read(address: &str, head: &str, accept: &str, reads: usize) -> Result<f64, Failed> {
    let from = Instant::now();
    let readers = (0..READERS).map(|_| {
        let mut wire = Wire::new(address);
        let request = format!("{head} HTTP/1.1\r\nHost: map\r\nAccept: {accept}\r\n\r\n");
        tokio::spawn(async move {
            for _ in 0..reads / READERS {
                if wire.send(request.as_bytes()).await? != 200 {
                    return Err("the answer is not the map".to_owned());
                }
            }
            Ok::<_, Failed>(())
        })
    });
    let readers: Vec<_> = readers.collect();
    for reader in readers {
        reader.await.map_err(|error| error.to_string())??;
    }
    Ok(reads as f64 / from.elapsed().as_secs_f64())
}

/// Starts a server with a hall of 5,000 seats.
async fn fairline(folder: &Path) -> Result<(String, Server), Failed> {
    let address = format!("127.0.0.1:{}", free_port());
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name("fairline").display().to_string();
    let data = folder.join("data").display().to_string();
    let mut arguments = vec![
        "--listen",
        &address,
        "--ops-listen",
        "127.0.0.1:0",
        "--data",
        &data,
    ];
    arguments.extend([
        "--organiser-key",
        KEY,
        "--requests-per-second",
        "0",
        "--log",
        "warn",
    ]);
    arguments.extend(["--connections-per-address", "0"]);
    let server = Server::start(folder, &program, &arguments);
    until("fairline", || TcpStream::connect(&address).is_ok());
    let plan = json!({"categories": [{"id": "c", "name": "C", "price": 1}],
        "sections": [{"id": "s", "category": "c", "rows": 100, "seats_per_row": 50}]});
    let client = Client::new(&format!("http://{address}"));
    let event = json!({"id": "map", "name": "Map"});
    client.create_event(KEY, &event, Some(plan)).await?;
    Ok((address, server))
}

fn nginx(folder: &Path) -> Result<(String, Server), Failed> {
    let address = format!("127.0.0.1:{}", free_port());
    let text = format!(
        "worker_processes 2;\npid pid;\nuser root;\nevents {{ worker_connections 1024; }}\nhttp {{ access_log off; sendfile on; tcp_nopush on; \
         keepalive_requests 1000000; open_file_cache max=10; default_type application/octet-stream;\n\
         server {{ listen {address}; root {}; }} }}\n",
        folder.display()
    );
    std::fs::write(folder.join("nginx.conf"), text).map_err(|error| error.to_string())?;
    let file = folder.join("nginx.conf").display().to_string();
    let prefix = folder.display().to_string();
    let server = Server::start(
        folder,
        "nginx",
        &["-p", &prefix, "-c", &file, "-g", "daemon off;"],
    );
    until("nginx", || TcpStream::connect(&address).is_ok());
    Ok((address, server))
}
