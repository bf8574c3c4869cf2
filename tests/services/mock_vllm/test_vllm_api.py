"""The OpenAI endpoints and vLLM's errors, over real HTTP."""

from __future__ import annotations

import json

import pytest

HELLO = [{"role": "user", "content": "hello there"}]


def events(server, path, **body):
    """The parsed events of a stream, and whether it ended with the end mark."""
    connection = server.connect()
    connection.request("POST", path, json.dumps({"model": "llama", "stream": True, **body}))
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("Content-Type").startswith("text/event-stream")
    lines = [line.decode().strip() for line in response if line.strip()]
    connection.close()
    assert all(line.startswith("data: ") for line in lines)
    payloads = [line.removeprefix("data: ") for line in lines]
    return [json.loads(payload) for payload in payloads if payload != "[DONE]"], payloads[-1] == "[DONE]"


def test_a_completion_answers_with_text_usage_and_finish_reason(llama):
    status, answer = llama.post("/v1/completions", model="llama", prompt="once upon a time", max_tokens=6)
    assert status == 200
    assert (answer["object"], answer["model"]) == ("text_completion", "llama")
    (choice,) = answer["choices"]
    assert len(choice["text"].split()) == 6
    assert choice["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 6
    assert answer["usage"]["total_tokens"] == 6 + answer["usage"]["prompt_tokens"]


def test_the_same_prompt_gives_the_same_text_and_another_prompt_another(llama):
    def text(prompt):
        return llama.post("/v1/completions", prompt=prompt, max_tokens=12)[1]["choices"][0]["text"]

    assert text("a") == text("a")
    assert text("a") != text("b")


def test_a_chat_completion_ends_by_itself(llama):
    status, answer = llama.post("/v1/chat/completions", model="llama-alias", messages=HELLO)
    assert status == 200
    (choice,) = answer["choices"]
    assert answer["object"] == "chat.completion"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    assert "delta" not in choice


def test_a_stream_brings_each_token_the_usage_and_the_end_mark(llama):
    body = {"prompt": "hello", "max_tokens": 8, "stream_options": {"include_usage": True}}
    whole = llama.post("/v1/completions", model="llama", prompt="hello", max_tokens=8)[1]["choices"][0]["text"]
    chunks, ended = events(llama, "/v1/completions", **body)
    assert ended
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 8
    choices = [chunk["choices"][0] for chunk in chunks[:-1]]
    assert len(choices) == 8
    assert "".join(choice["text"] for choice in choices) == whole
    assert [choice["finish_reason"] for choice in choices] == [None] * 7 + ["length"]


def test_a_chat_stream_names_the_role_first(llama):
    chunks, ended = events(llama, "/v1/chat/completions", messages=HELLO, max_tokens=3)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert len(deltas) == 1 + 3
    assert ended
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_a_batch_of_prompts_with_several_answers_each(llama):
    prompts = ["one", [1, 2, 3]]
    answer = llama.post("/v1/completions", prompt=prompts, n=2, max_tokens=2)[1]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["prompt_tokens"] == 1 + 3
    assert answer["usage"]["completion_tokens"] == 8
    chunks, ended = events(llama, "/v1/completions", prompt=prompts, n=2, max_tokens=2)
    finished = [c["choices"][0]["index"] for c in chunks if c["choices"][0]["finish_reason"]]
    assert sorted(finished) == [0, 1, 2, 3]
    assert ended


def test_a_stop_string_ends_the_answer_before_it(llama):
    full = llama.post("/v1/completions", prompt="p", max_tokens=20, ignore_eos=True)[1]["choices"][0]["text"]
    word = full.split()[7]
    (choice,) = llama.post("/v1/completions", prompt="p", max_tokens=20, ignore_eos=True, stop=word)[1]["choices"]
    assert choice["text"] == full[: full.index(word)]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", word)


def test_echo_repeats_the_prompt_whole_and_streamed(llama):
    (choice,) = llama.post("/v1/completions", prompt="say: ", max_tokens=2, echo=True)[1]["choices"]
    chunks, _ = events(llama, "/v1/completions", prompt="say: ", max_tokens=2, echo=True)
    assert choice["text"].startswith("say: ")
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == choice["text"]


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        ({"model": "other", "prompt": "x"}, 404, "NotFoundError", "The model `other` does not exist."),
        (
            {"prompt": "x" * 4000},
            400,
            "BadRequestError",
            "This model's maximum context length is 512 tokens. However,",
        ),
        ({"prompt": "x", "max_tokens": 9999}, 400, "BadRequestError", "is too large: 9999. This model's maximum"),
        ({"prompt": "x", "max_tokens": 0}, 400, "BadRequestError", "max_tokens must be at least 1, got 0."),
        ({}, 400, "BadRequestError", "Field required: prompt"),
        ({"prompt": {"a": 1}}, 400, "BadRequestError", "prompt must be a string"),
        ({"prompt": "x", "stream": "yes"}, 400, "BadRequestError", "stream"),
    ],
)
def test_wrong_requests_get_vllms_error_body(llama, body, status, kind, message):
    answered, document = llama.call("POST", "/v1/completions", body)
    assert answered == status
    error = document["error"]
    assert (error["type"], error["code"]) == (kind, status)
    assert message in error["message"]


@pytest.mark.parametrize("messages", [None, [], ["hi"], [{"content": "x"}], [{"role": "user", "content": 7}]])
def test_wrong_chats_are_400(llama, messages):
    assert llama.post("/v1/chat/completions", messages=messages)[0] == 400


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_a_body_that_is_no_json_object_is_400(llama, text):
    connection = llama.connect()
    connection.request("POST", "/v1/completions", text.encode("utf-8", "surrogateescape"))
    response = connection.getresponse()
    assert response.status == 400
    assert json.loads(response.read())["error"]["type"] == "Bad Request"
    connection.close()


@pytest.mark.parametrize("path", ["/ready", "/health/ready", "/faults", "/v1/nothing"])
def test_there_is_no_endpoint_that_vllm_has_not(llama, path):
    assert llama.call("GET", path) == (404, {"detail": "Not Found"})


def test_the_small_endpoints(llama):
    assert llama.call("GET", "/health") == (200, "")
    assert llama.call("GET", "/ping") == (200, "")
    assert llama.call("GET", "/load") == (200, {"server_load": 0})
    assert llama.call("GET", "/version") == (200, {"version": "0.33.0"})
    assert llama.call("POST", "/health")[0] == 405


def test_every_response_names_the_pod(llama):
    for path in ("/health", "/v1/models", "/nowhere"):
        connection = llama.connect()
        connection.request("GET", path)
        assert connection.getresponse().getheader("X-Served-By") == "pod-a"
        connection.close()


def test_a_client_that_leaves_ends_its_request(llama):
    aborted = 'vllm:request_success_total{engine="0",finished_reason="abort",model_name="llama"}'
    before = llama.metric(aborted)
    connection = llama.connect()
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "x", "max_tokens": 500, "ignore_eos": True}))
    llama.until(lambda: llama.running() >= 1)
    connection.close()
    llama.until(lambda: llama.metric(aborted) == before + 1)
    assert llama.running() == 0


def test_keys_are_asked_for_under_v1_only(launch):
    server = launch("--model=m", "--api-key=secret-a", environment={}).ready()
    assert server.call("GET", "/health")[0] == 200
    assert server.call("GET", "/metrics")[0] == 200
    assert server.call("GET", "/v1/models") == (401, {"error": "Unauthorized"})
    for header, status in (("Bearer wrong", 401), ("secret-a", 401), ("Bearer secret-a", 200)):
        assert server.call("GET", "/v1/models", headers={"Authorization": header})[0] == status


def test_the_ready_endpoint_can_be_switched_on(launch):
    assert launch(READY_ENDPOINT="true").ready().call("GET", "/ready")[0] == 200
