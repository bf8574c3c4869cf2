from services.mock_vllm.main import main

if __name__ == "__main__":
    main()
