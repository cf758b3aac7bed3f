use granary_proto::job::v1::{JobReport, Lease, StreamJobLogsRequest, StreamJobLogsResponse};

use crate::world::{World, name, on_both, report, success};

fn piece(lease: &Lease, log_offset: i64, data: &[u8]) -> JobReport {
    JobReport {
        log_offset,
        log_data: data.to_vec(),
        ..report(lease)
    }
}

impl World {
    async fn logs(&self, request: StreamJobLogsRequest) -> Vec<StreamJobLogsResponse> {
        let mut stream = self
            .api()
            .stream_job_logs(request)
            .await
            .unwrap()
            .into_inner();
        let mut all = Vec::new();
        while let Some(message) = stream.message().await.unwrap() {
            all.push(message);
        }
        all
    }
}

fn text(messages: &[StreamJobLogsResponse]) -> String {
    String::from_utf8(
        messages
            .iter()
            .flat_map(|message| message.data.clone())
            .collect(),
    )
    .unwrap()
}

on_both! {
    async fn pieces_that_come_twice_are_kept_once(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("j", "w").await;
        world.report("w", piece(&lease, 0, b"hello ")).await.unwrap();
        world.report("w", piece(&lease, 0, b"hello ")).await.unwrap();
        world.report("w", piece(&lease, 0, b"hello wor")).await.unwrap();
        world.report("w", piece(&lease, 9, b"ld\n")).await.unwrap();
        let all = StreamJobLogsRequest { name: name(&lease), ..StreamJobLogsRequest::default() };
        assert_eq!(text(&world.logs(all.clone()).await), "hello world\n");
        let tail = world.logs(StreamJobLogsRequest { offset: 7, ..all.clone() }).await;
        assert_eq!((tail[0].offset, text(&tail).as_str()), (7, "orld\n"));
        assert!(world.logs(StreamJobLogsRequest { offset: 100, ..all }).await.is_empty());
    }

    async fn a_follower_sees_what_comes_until_the_end(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("j", "w").await;
        let request = StreamJobLogsRequest { name: name(&lease), follow: true, ..StreamJobLogsRequest::default() };
        let mut stream = world.api().stream_job_logs(request).await.unwrap().into_inner();
        world.report("w", piece(&lease, 0, b"one\n")).await.unwrap();
        assert_eq!(stream.message().await.unwrap().unwrap().data, b"one\n");
        world.report("w", piece(&lease, 4, b"two\n")).await.unwrap();
        assert_eq!(stream.message().await.unwrap().unwrap().data, b"two\n");
        world.finish("w", success(&lease)).await.unwrap();
        assert!(stream.message().await.unwrap().is_none());
    }

    async fn each_attempt_has_its_own_log(world: World) {
        world.catalog().await;
        world.register("w").await;
        let first = world.running("j", "w").await;
        world.report("w", piece(&first, 0, b"first\n")).await.unwrap();
        world.register("w").await;
        let second = world.acquire("w", 1).await.pop().unwrap();
        world.report("w", piece(&second, 0, b"second\n")).await.unwrap();
        let of = |attempt| StreamJobLogsRequest { name: name(&first), attempt, ..StreamJobLogsRequest::default() };
        assert_eq!(text(&world.logs(of(0)).await), "second\n");
        assert_eq!(text(&world.logs(of(1)).await), "first\n");
        assert!(world.api().stream_job_logs(of(3)).await.is_err());
    }

    async fn the_newest_16_mib_are_kept(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("j", "w").await;
        let size = 256 * 1024;
        for i in 0..80_u8 {
            world.report("w", piece(&lease, i64::from(i) * size, &vec![i; usize::try_from(size).unwrap()])).await.unwrap();
        }
        let kept = world.logs(StreamJobLogsRequest { name: name(&lease), ..StreamJobLogsRequest::default() }).await;
        let bytes: usize = kept.iter().map(|message| message.data.len()).sum();
        assert!((16 << 20..17 << 20).contains(&bytes), "{bytes} bytes are kept");
        assert!(kept.iter().all(|message| message.data.len() <= 64 * 1024));
        assert_eq!(kept.last().unwrap().data.last(), Some(&79));
        let first = kept.first().unwrap().offset;
        assert_eq!(usize::try_from(80 * size - first).unwrap(), bytes, "there are no gaps");
        let too_much = world.report("w", piece(&lease, 80 * size, &vec![0; 256 * 1024 + 1])).await;
        assert!(too_much.is_err());
    }
}
